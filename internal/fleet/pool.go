package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// pool is the instances of one function and the requests that wait for room.
// Its fields are guarded by the fleet's mutex.
type pool struct {
	spec     lateen.FunctionSpec
	ctx      context.Context //nolint:containedctx // never ends: starts and stops outlive the request that caused them
	limit    int             // requests at once in one instance
	members  []*member
	starting int
	waiting  []*waiter // first come, first served

	forgotten bool // instances go as soon as nobody waits for them
}

// member is an instance in its pool.
type member struct {
	pool     *pool
	instance engine.Instance
	inFlight int
	leaving  bool          // takes no more requests
	drained  chan struct{} // closed once it is leaving and has none left
	idle     *time.Timer
	idleFrom time.Time
}

// waiter is a request that waits for an instance with room.
type waiter struct {
	ready chan granted // of one; written once, by whoever takes the waiter off the queue
}

// granted is what a waiter gets: a member with a place held for it, or an error.
type granted struct {
	member *member
	fresh  bool // started for requests like this one
	err    error
}

// lease is a place in an instance, held for one request.
type lease struct {
	fleet  *Fleet
	member *member
}

// lease returns a place in an instance of spec, waiting for one if it must.
func (f *Fleet) lease(ctx context.Context, spec lateen.FunctionSpec, inv *lateen.Invocation) (*lease, error) {
	asked := time.Now()
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return nil, errEnding
	}
	p := f.poolLocked(ctx, spec)
	if m := p.roomLocked(); m != nil {
		f.takeLocked(m)
		f.mu.Unlock()
		return f.granted(granted{member: m}, asked, inv), nil
	}
	if len(p.waiting) >= f.o.Queue {
		f.mu.Unlock()
		return nil, lateen.ErrFunctionThrottled.With("%d requests wait for %s already", f.o.Queue, spec.Name)
	}
	w := &waiter{ready: make(chan granted, 1)}
	p.waiting = append(p.waiting, w)
	f.growLocked(p)
	f.mu.Unlock()

	select {
	case g := <-w.ready:
		if g.err != nil {
			return nil, g.err
		}
		return f.granted(g, asked, inv), nil
	case <-ctx.Done():
		return nil, f.giveUp(ctx, p, w)
	}
}

// granted turns what a request got into a lease and notes how it came by it.
func (f *Fleet) granted(g granted, asked time.Time, inv *lateen.Invocation) *lease {
	inv.Instance = g.member.instance.ID()
	inv.Start = lateen.StartWarm
	inv.Queue = time.Since(asked)
	if g.fresh {
		phases := g.member.instance.Started()
		inv.Start, inv.Claim, inv.Load = phases.Kind, phases.Claim, phases.Load
		inv.Queue = max(0, inv.Queue-phases.Claim-phases.Load)
	}
	return &lease{fleet: f, member: g.member}
}

// giveUp takes a waiter whose context ended off the queue; a place it was
// given in the same moment goes to the next.
func (f *Fleet) giveUp(ctx context.Context, p *pool, w *waiter) error {
	f.mu.Lock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	f.mu.Unlock()
	select {
	case g := <-w.ready:
		if g.err == nil {
			(&lease{fleet: f, member: g.member}).release(false)
		}
	default:
	}
	return context.Cause(ctx)
}

// release gives the place back. A spoiled instance takes no more requests.
func (l *lease) release(spoiled bool) {
	f, m := l.fleet, l.member
	f.mu.Lock()
	defer f.mu.Unlock()
	m.inFlight--
	switch {
	case m.leaving:
		m.drainLocked()
	case spoiled || isDone(m.instance):
		f.retireLocked(m)
	default:
		f.serveLocked(m.pool)
		if m.inFlight == 0 {
			f.restLocked(m)
		}
	}
}

// drainLocked lets a leaving instance that has no leases left be stopped.
func (m *member) drainLocked() {
	if m.leaving && m.inFlight == 0 {
		close(m.drained)
	}
}

func isDone(instance engine.Instance) bool {
	select {
	case <-instance.Done():
		return true
	default:
		return false
	}
}

func (f *Fleet) poolLocked(ctx context.Context, spec lateen.FunctionSpec) *pool {
	p, ok := f.pools[spec.Key]
	if !ok {
		limit := spec.Function.MaxConcurrency
		setDefault(&limit, f.o.Concurrency)
		p = &pool{spec: spec, limit: limit, ctx: lateen.WithRequestID(context.WithoutCancel(ctx), "")}
		f.pools[spec.Key] = p
	}
	return p
}

// roomLocked returns the fullest instance with room, so that the others may
// idle, or nil.
func (p *pool) roomLocked() *member {
	var best *member
	for _, m := range p.members {
		if m.leaving || m.inFlight >= p.limit || isDone(m.instance) {
			continue
		}
		if best == nil || m.inFlight > best.inFlight {
			best = m
		}
	}
	return best
}

func (f *Fleet) takeLocked(m *member) {
	m.inFlight++
	if m.idle != nil {
		m.idle.Stop()
		m.idle = nil
	}
}

// growLocked starts as many instances as those that wait can fill, counting
// the ones that are starting: a burst never starts one each.
func (f *Fleet) growLocked(p *pool) {
	wanted := (len(p.waiting) + p.limit - 1) / p.limit
	for !f.ended && p.starting < wanted && p.activeLocked()+p.starting < f.o.PerFunction {
		if f.total >= f.o.Total && !f.evictLocked() {
			f.starved = true
			return
		}
		p.starting++
		f.total++
		f.work.Go(func() { f.start(p) })
	}
}

// feedLocked lets the pools grow that could not before.
func (f *Fleet) feedLocked() {
	if !f.starved {
		return
	}
	f.starved = false
	for _, p := range f.pools {
		f.growLocked(p)
	}
}

// activeLocked counts the instances that take requests.
func (p *pool) activeLocked() int {
	n := 0
	for _, m := range p.members {
		if !m.leaving {
			n++
		}
	}
	return n
}

// evictLocked retires the instance that idled longest, if any idles.
func (f *Fleet) evictLocked() bool {
	var oldest *member
	for _, p := range f.pools {
		for _, m := range p.members {
			if m.idle != nil && (oldest == nil || m.idleFrom.Before(oldest.idleFrom)) {
				oldest = m
			}
		}
	}
	if oldest == nil {
		return false
	}
	f.retireLocked(oldest)
	return true
}

// start brings up an instance for p, trying twice, and gives it to those who
// wait. If it cannot, they get the error, unless others may still serve them.
func (f *Fleet) start(p *pool) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	f.work.Go(func() {
		select {
		case <-f.closed:
			cancel(errEnding)
		case <-ctx.Done():
		}
	})
	instance, err := f.attempt(ctx, p.spec)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lateen.ErrFunctionRuntime) {
		f.o.Log.Warn("start failed, trying once more", "function", p.spec.Name, "deployment_id", p.spec.Deployment, "err", err)
		instance, err = f.attempt(ctx, p.spec)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.starting--
	if err != nil {
		f.total--
		f.failLocked(p, err)
		f.dropLocked(p)
		f.feedLocked()
		return
	}
	m := &member{pool: p, instance: instance, drained: make(chan struct{})}
	p.members = append(p.members, m)
	f.work.Go(func() { f.watch(m) })
	if f.ended {
		f.retireLocked(m)
		return
	}
	f.admitLocked(p, m, true)
	switch {
	case p.forgotten:
		f.retireLocked(m)
	case m.inFlight == 0:
		f.restLocked(m)
	}
}

// attempt starts one instance within the time there is for it.
func (f *Fleet) attempt(ctx context.Context, spec lateen.FunctionSpec) (engine.Instance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.StartTimeout,
		lateen.ErrFunctionStart.With("%s did not start within %s", spec.Name, f.o.StartTimeout))
	defer cancel()
	instance, err := f.o.Engine.Start(ctx, spec)
	if err == nil {
		return instance, nil
	}
	err = causeOf(ctx, err)
	if _, ok := errors.AsType[*lateen.Error](err); !ok {
		err = lateen.ErrFunctionStart.Because(err)
	}
	return nil, err
}

// failLocked tells those who wait that no instance comes, unless one may yet.
func (f *Fleet) failLocked(p *pool, err error) {
	if p.starting > 0 || p.activeLocked() > 0 {
		return
	}
	p.refuseLocked(err)
}

// refuseLocked tells those who wait that they wait in vain.
func (p *pool) refuseLocked(err error) {
	for _, w := range p.waiting {
		w.ready <- granted{err: err}
	}
	p.waiting = nil
}

// serveLocked gives the room there is to those who wait.
func (f *Fleet) serveLocked(p *pool) {
	for len(p.waiting) > 0 {
		m := p.roomLocked()
		if m == nil {
			return
		}
		f.admitLocked(p, m, false)
	}
}

// admitLocked gives m's room to those who wait.
func (f *Fleet) admitLocked(p *pool, m *member, fresh bool) {
	for len(p.waiting) > 0 && m.inFlight < p.limit {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		f.takeLocked(m)
		w.ready <- granted{member: m, fresh: fresh}
	}
}

// restLocked lets m idle: after the keep-alive it goes.
func (f *Fleet) restLocked(m *member) {
	m.idleFrom = time.Now()
	m.idle = time.AfterFunc(f.o.KeepAlive, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case m.leaving || m.inFlight > 0:
		case m.instance.Busy() > 0: // work after the response goes on
			f.restLocked(m)
		default:
			f.retireLocked(m)
		}
	})
	f.feedLocked()
}

// retireLocked lets m take no more requests and stops it once those in flight
// are done or the grace is over. The requests that wait get another.
func (f *Fleet) retireLocked(m *member) {
	if m.leaving {
		return
	}
	m.leaving = true
	if m.idle != nil {
		m.idle.Stop()
		m.idle = nil
	}
	m.drainLocked()
	f.work.Go(func() { f.stop(m) })
	f.growLocked(m.pool)
}

// dropLocked forgets a pool that has nothing in it.
func (f *Fleet) dropLocked(p *pool) {
	if len(p.members)+p.starting+len(p.waiting) == 0 && f.pools[p.spec.Key] == p {
		delete(f.pools, p.spec.Key)
	}
}

// stop ends m's instance and takes m out of its pool. Leases end first: one
// that was granted may not have reached the instance yet.
func (f *Fleet) stop(m *member) {
	ctx, cancel := context.WithTimeout(m.pool.ctx, f.o.Grace)
	defer cancel()
	select {
	case <-m.drained:
	case <-m.instance.Done():
	case <-ctx.Done():
	}
	m.instance.Stop(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := m.pool
	if i := slices.Index(p.members, m); i >= 0 {
		p.members = slices.Delete(p.members, i, i+1)
		f.total--
	}
	f.growLocked(p)
	f.feedLocked()
	f.dropLocked(p)
}

// watch retires m when its process ends by itself.
func (f *Fleet) watch(m *member) {
	<-m.instance.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retireLocked(m)
}
