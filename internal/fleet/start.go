package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// slotTime is how long a start counts among those that go on at once. One that
// takes longer waits for something that others need not wait for.
const slotTime = time.Second

// retryAfter is between the two attempts of a start: what ends one process may
// be about to end others.
const retryAfter = 20 * time.Millisecond

// pumpLocked begins the starts in line that there is room for: those of the
// project with the fewest instances by its weight first.
func (f *Fleet) pumpLocked(now time.Time) {
	if f.pumping || f.ended {
		return
	}
	f.pumping = true
	defer func() { f.pumping = false }()
	for reserve := 0; f.attempts < f.o.Starts; {
		p := f.nextLocked(now, reserve)
		if p == nil {
			return
		}
		if !f.makeRoomLocked(p, now) {
			f.yieldLocked(p, now)
			reserve = reserveOf(p.function.project) + 1 // those for whom more is kept do not wait for p
			continue
		}
		p.wanted--
		f.beginLocked(p, time.Time{})
	}
}

// nextLocked returns the pool whose turn it is to start an instance, of those with
// such a reserve at least, leaving out those that need none any more.
func (f *Fleet) nextLocked(now time.Time, reserve int) *pool {
	var next *pool
	f.line = slices.DeleteFunc(f.line, func(p *pool) bool {
		if p.wanted > 0 {
			p.wanted = min(p.wanted, p.demandLocked(now).Missing())
		}
		if p.wanted <= 0 {
			p.wanted = 0
			return true
		}
		if reserve > 0 && reserveOf(p.function.project) < reserve {
			return false
		}
		if next == nil || p.function.project.holding(0).Less(next.function.project.holding(0)) {
			next = p
		}
		return false
	})
	return next
}

// beginLocked begins a start for p: for those who wait, or, if until is not
// zero, for somebody who is likely to come until then.
func (f *Fleet) beginLocked(p *pool, until time.Time) {
	p.starting++
	p.function.project.count(1)
	f.total++
	f.attempts++
	held := p.estimate()
	f.memory += held
	f.work.Go(func() { f.start(p, held, until) })
}

// start brings up an instance for p, trying twice, and gives it to those who
// wait. If it cannot, they get the error, unless others may still serve them.
func (f *Fleet) start(p *pool, held int64, until time.Time) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	f.work.Go(func() {
		select {
		case <-f.closed:
			cancel(errEnding)
		case <-ctx.Done():
		}
	})
	free := f.occupy()
	instance, err := f.attempt(ctx, p.spec)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lateen.ErrFunctionRuntime) {
		f.o.Log.Warn("start failed, trying once more", "function", p.spec.Name, "deployment_id", p.spec.Deployment, "err", err)
		wait(ctx, retryAfter)
		instance, err = f.attempt(ctx, p.spec)
	}
	var loaded engine.Usage // is no request's
	if err == nil {
		loaded = instance.Usage()
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	free()
	p.starting--
	if err != nil {
		f.total--
		f.memory -= held
		p.function.project.count(-1)
		f.failedLocked(p, err, now)
		f.dropLocked(p)
		f.pumpLocked(now)
		return
	}
	m := &member{pool: p, instance: instance, since: now, held: held, drained: make(chan struct{}), nap: make(chan struct{}, 1)}
	m.meter.at, m.meter.usage = now, loaded
	f.enterLocked(m, now, loaded)
	f.joinLocked(m, now, until)
}

// joinLocked makes m one of its pool and gives its room to those who wait.
func (f *Fleet) joinLocked(m *member, now, until time.Time) {
	p := m.pool
	phases := m.instance.Started()
	p.function.start = approach(p.function.start, phases.Claim+phases.Load)
	m.tick = time.AfterFunc(time.Hour, func() { f.tick(m) })
	m.tick.Stop()
	p.members = append(p.members, m)
	p.active++
	p.failures, p.retry = 0, time.Time{}
	f.work.Go(func() { f.watch(m) })
	if f.ended {
		f.retireLocked(m, forced)
		return
	}
	limit := p.function.limit.At(p.ceiling)
	for m.inFlight < limit && (m.inFlight == 0 || f.admitLocked(p, now)) {
		next, room := p.nextLocked(now)
		if room == nil {
			break
		}
		f.grantLocked(next, m, now, fresh)
	}
	f.serveNextLocked(p, now)
	switch {
	case p.forgotten:
		f.retireLocked(m, forced)
	case m.inFlight == 0:
		m.unasked = !until.IsZero()
		f.restLocked(m, now)
		if m.unasked {
			m.rest.Until, m.foretold = until, true
		}
	}
	f.pumpLocked(now)
	f.growLocked(p, now)
}

// occupy takes one of the slots that bound how many starts go on at once; the
// result, called with the lock held, gives it back if that has not happened yet.
func (f *Fleet) occupy() func() {
	taken := true
	free := func() {
		if taken {
			taken = false
			f.attempts--
		}
	}
	overdue := time.AfterFunc(slotTime, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		free()
		f.pumpLocked(time.Now())
	})
	return func() {
		overdue.Stop()
		free()
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
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
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if _, ok := errors.AsType[*lateen.Error](err); !ok {
		err = lateen.ErrFunctionStart.Because(err)
	}
	return nil, err
}
