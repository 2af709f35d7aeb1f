package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// pool is the instances of a function of one deployment and the requests that
// wait for room. Its fields are guarded by the fleet's mutex.
type pool struct {
	function *function
	spec     lateen.FunctionSpec
	ctx      context.Context //nolint:containedctx // never ends: starts and stops outlive the request that caused them
	duration time.Duration   // that an invocation has
	overdue  error           // past it
	ceiling  int             // requests at once in one instance, at most
	most     int             // instances at most
	minimum  int             // instances that are kept whatever is asked; see [Fleet.Produce]

	members  []*member // oldest first
	active   int       // of them, that take requests
	starting int
	wanted   int            // to start, in line
	tried    time.Time      // when a start was last asked for
	waiting  []*waiter      // first come, first served
	held     map[string]int // places, by client
	places   int            // of all clients
	majority string         // the client that has more than half of places, as far as was seen; "" is none
	review   *time.Timer
	failures int       // starts in a row that failed while there were other instances
	retry    time.Time // no start until then, where there are other instances

	gated     bool // in the fleet's list of those
	forgotten bool // instances go as soon as nobody waits for them
}

// leastReview is how often at most it is looked again whether those who wait
// wait too long, and leastGap how often an instance is replaced that is there
// only because a minimum is asked for.
const (
	leastReview = 20 * time.Millisecond
	leastGap    = 10 * time.Second
)

// poolLocked returns the pool of spec, making it if need be.
func (f *Fleet) poolLocked(ctx context.Context, spec *lateen.FunctionSpec) *pool {
	if p := f.pools[spec.Key]; p != nil {
		return p
	}
	fn := f.functionLocked(spec.Project, spec.Name)
	fn.project.join(f, spec.Team)
	ceiling, most := spec.Function.MaxConcurrency, spec.Function.MaxInstances
	ceiling = cmp.Or(ceiling, f.o.Concurrency)
	most = cmp.Or(most, f.o.PerFunction)
	limit := f.duration(spec.Function.MaxDuration)
	if f.ctx != nil {
		ctx = f.ctx // which holds on to nothing of the request
	}
	p := &pool{
		function: fn, spec: *spec, ctx: lateen.WithRequestID(context.WithoutCancel(ctx), ""),
		duration: limit, overdue: lateen.ErrFunctionTimeout.With("the function did not answer within its %s", limit),
		ceiling: ceiling, most: min(most, f.o.PerFunction),
	}
	f.pools[spec.Key] = p
	fn.pools = append(fn.pools, p)
	return p
}

// dropLocked forgets a pool that has nothing in it, and is to have nothing.
func (f *Fleet) dropLocked(p *pool) {
	if len(p.members)+p.starting+len(p.waiting)+p.minimumLocked() > 0 || f.pools[p.spec.Key] != p {
		return
	}
	p.wanted = 0
	delete(f.pools, p.spec.Key)
	p.function.pools = slices.DeleteFunc(p.function.pools, func(other *pool) bool { return other == p })
	if p.review != nil {
		p.review.Stop()
	}
}

// roomLocked returns the instance with room that is next: the fullest, so that
// the others may rest, of those whose requests do not keep a processor busy yet;
// the emptiest, where all do; nil if all are full.
func (p *pool) roomLocked() *member { return p.roomBelowLocked(p.function.limit.At(p.ceiling)) }

// roomBelowLocked is roomLocked under a limit of requests in one instance.
func (p *pool) roomBelowLocked(limit int) *member {
	var best *member
	need := p.function.need()
	for _, m := range p.members {
		if m.leaving || m.inFlight >= limit || isDone(m.instance) {
			continue
		}
		if best == nil || m.isBefore(best, need) {
			best = m
		}
	}
	return best
}

// roomInLocked is roomLocked, but for the instance called wanted, if that has room.
func (p *pool) roomInLocked(wanted lateen.InstanceID) *member {
	if wanted != "" {
		limit := p.function.limit.At(p.ceiling)
		for _, m := range p.members {
			if m.instance.ID() == wanted && !m.leaving && m.inFlight < limit && !isDone(m.instance) {
				return m
			}
		}
	}
	return p.roomLocked()
}

// isBefore reports whether m takes a request rather than other, where each
// request needs so much of a processor.
func (m *member) isBefore(other *member, need float64) bool {
	busy, otherBusy := need*float64(m.inFlight) >= 1, need*float64(other.inFlight) >= 1
	switch {
	case busy != otherBusy:
		return otherBusy
	case m.inFlight != other.inFlight:
		return m.inFlight > other.inFlight != busy
	}
	return other.napping && !m.napping
}

// demandLocked is what p is asked for and has, but for what it has in line.
// Where requests wait for one that is there, they take at least that long,
// whatever the past says.
func (p *pool) demandLocked(now time.Time) autoscale.Demand {
	fn := p.function
	d := autoscale.Demand{
		Waiting: len(p.waiting), Ready: p.active, Starting: p.starting,
		Limit: fn.limit.At(p.ceiling), Start: fn.start, Service: fn.service, Min: p.minimumLocked(), Max: p.most,
	}
	d.Start = cmp.Or(d.Start, 100*time.Millisecond)
	if len(p.waiting) > 0 && p.active > 0 {
		since := p.waiting[0].since
		if there := p.members[0].since; there.After(since) {
			since = there
		}
		d.Service = max(d.Service, now.Sub(since), time.Millisecond)
	}
	return d
}

// minimumLocked is how many instances are kept whatever is asked.
func (p *pool) minimumLocked() int {
	if p.forgotten {
		return 0
	}
	return p.minimum
}

// growLocked lines up as many starts as spare somebody a wait, counting those
// under way: a burst never starts one each.
func (f *Fleet) growLocked(p *pool, now time.Time) {
	if f.ended {
		return
	}
	d := p.demandLocked(now)
	d.Starting += p.wanted
	if now.Sub(p.tried) < leastGap {
		d.Min = 0 // what was started for it may have died at once
	}
	if p.active+p.starting > 0 && now.Before(p.retry) {
		d.Waiting, d.Min = 0, 0
	}
	if p.active > 0 && p.active+p.starting >= int(f.o.Processors) && p.function.need() > 0 && !f.usage.mayGrow(now, f.o.Processors, f.load) {
		d.Waiting = 0 // another instance would wait for the same processors
	}
	if missing := d.Missing(); missing > 0 {
		if p.wanted == 0 {
			f.line = append(f.line, p)
		}
		p.wanted += missing
		p.tried = now
	}
	f.pumpLocked(now)
	f.reviewLocked(p, d)
}

// reviewLocked looks again in a while whether those who wait for p need another
// instance, or the minimum does.
func (f *Fleet) reviewLocked(p *pool, d autoscale.Demand) {
	after := leastGap
	switch {
	case p.starting > 0:
		return
	case p.wanted > 0:
		after = time.Second // it may be its turn
	case len(p.waiting) > 0:
		after = max(leastReview, d.Start)
		if left := time.Until(p.retry); left > 0 {
			after = left
		}
	case p.active >= p.minimumLocked():
		return
	}
	if p.review == nil {
		p.review = time.AfterFunc(after, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.pools[p.spec.Key] == p {
				now := time.Now()
				f.serveNextLocked(p, now)
				f.growLocked(p, now)
				f.dropLocked(p)
			}
		})
		return
	}
	p.review.Reset(after)
}
