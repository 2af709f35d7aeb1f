package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// waiter is a request that waits for an instance with room.
type waiter struct {
	since  time.Time
	client string       // "" is none in particular
	failed int          // starts that failed meanwhile; see [Fleet.failedLocked]
	ready  chan granted // of one; written once, by whoever takes the waiter off the queue
}

// granted is what a waiter gets: a place held for it, or an error.
type granted struct {
	lease lease
	err   error
}

// seat is where a request is: in a place that it has, or in the queue for one.
type seat struct {
	pool   *pool
	lease  lease
	waiter *waiter // nil if it has the lease
}

// ask returns a place in an instance of spec if there is one, in wanted rather than in
// another, and otherwise a place in the queue. first says that the request did not ask before.
func (f *Fleet) ask(ctx context.Context, spec *lateen.FunctionSpec, now time.Time, wanted lateen.InstanceID, first bool) (seat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return seat{}, errEnding
	}
	p := f.poolLocked(ctx, spec)
	p.function.project.weigh(f, spec.Weight)
	if first {
		f.arriveLocked(p, now)
	}
	client := lateen.ClientFrom(ctx)
	if _, waits := p.nextLocked(now); waits == nil && p.mayTakeLocked(client) {
		if m := p.roomInLocked(wanted); m != nil && f.mayPassLocked(p) && f.admitLocked(p, now) {
			return seat{pool: p, lease: f.takeLocked(m, now, warm, client)}, nil
		}
	}
	project := p.function.project
	full := len(p.waiting) >= f.o.Queue || project.waiting >= f.o.ProjectQueue
	switch {
	case full && f.displaceLocked(p, client):
	case len(p.waiting) >= f.o.Queue:
		f.dropLocked(p)
		return seat{}, lateen.ErrFunctionThrottled.With("%d requests wait for %s already", f.o.Queue, spec.Name)
	case project.waiting >= f.o.ProjectQueue:
		f.dropLocked(p)
		return seat{}, lateen.ErrFunctionThrottled.With("%d requests wait for the functions of this project already", f.o.ProjectQueue)
	}
	w := &waiter{since: now, client: client, ready: make(chan granted, 1)}
	if project.waiting == 0 {
		f.turn.Join(&project.account)
	}
	p.waiting = append(p.waiting, w)
	project.waiting++
	project.begin(f)
	f.serveNextLocked(p, now)
	f.growLocked(p, now)
	return seat{pool: p, waiter: w}, nil
}

// wait returns what a waiter gets in the end.
func (f *Fleet) wait(ctx context.Context, p *pool, w *waiter) (lease, error) {
	select {
	case g := <-w.ready:
		return g.lease, g.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.leaveLocked(f)
		f.dropLocked(p)
	}
	f.mu.Unlock()
	select {
	case g := <-w.ready: // a place it was given in the same moment goes to the next
		if g.err == nil {
			f.release(&g.lease, &lateen.Invocation{}, verdict{})
		}
	default:
	}
	return lease{}, context.Cause(ctx)
}

// leaveLocked notes that a waiter has left the queue.
func (p *pool) leaveLocked(f *Fleet) {
	p.function.project.waiting--
	p.function.project.end(f)
}

// admitLocked reports whether there is processor time for one more request of
// p: there is, unless it is short and p's project has its part.
func (f *Fleet) admitLocked(p *pool, now time.Time) bool {
	need := p.function.need()
	if need == 0 || !f.shortLocked(now) {
		return true
	}
	project := p.function.project
	return autoscale.Processors{Total: f.o.Processors, Used: f.load, Own: project.load, Part: float64(project.weight) / float64(max(project.weight, f.weights))}.Admit(need)
}

// shortLocked reports whether processor time is short.
func (f *Fleet) shortLocked(now time.Time) bool {
	return f.usage.isShort(now, f.o.Processors, f.load)
}

// serveLocked gives the room there is to those who wait for p.
func (f *Fleet) serveLocked(p *pool, now time.Time) {
	for {
		next, m := p.nextLocked(now)
		if m == nil {
			return
		}
		if !f.admitLocked(p, now) {
			f.gateLocked(p)
			return
		}
		f.grantLocked(next, m, now, warm)
	}
}

// gateLocked has those who wait for p wait for processor time.
func (f *Fleet) gateLocked(p *pool) {
	if !p.gated {
		p.gated = true
		f.gated = append(f.gated, p)
	}
}

// serveNextLocked gives the room in p, and the processor time, to those who wait
// for p, or if there are others for the time, to whose turn it is.
func (f *Fleet) serveNextLocked(p *pool, now time.Time) {
	switch {
	case f.mayPassLocked(p):
		f.serveLocked(p, now)
	case len(p.waiting) > 0:
		f.gateLocked(p)
	}
	f.serveGatedLocked(now)
}

// mayPassLocked reports whether requests for p take nothing from those who wait
// for processor time: there is nobody, or they use none.
func (f *Fleet) mayPassLocked(p *pool) bool {
	return len(f.gated) == 0 || p.function.need() == 0
}

// serveGatedLocked gives processor time that has become free to the projects
// that were served least, and to the functions of one in turn. Nobody overtakes
// them but who has nothing under way.
func (f *Fleet) serveGatedLocked(now time.Time) {
	for len(f.gated) > 0 {
		var first, idle *pool
		f.gated = slices.DeleteFunc(f.gated, func(p *pool) bool {
			if _, m := p.nextLocked(now); m == nil { // it will be served, or grow, in another way
				p.gated = false
				return true
			}
			if p.isBefore(first) {
				first = p
			}
			if p.function.project.load <= 0 && p.isBefore(idle) {
				idle = p
			}
			return false
		})
		next := first
		if next != nil && !f.admitLocked(next, now) {
			next = idle
		}
		if next == nil {
			return
		}
		i, m := next.nextLocked(now)
		f.grantLocked(i, m, now, warm)
		f.gated = append(slices.DeleteFunc(f.gated, func(p *pool) bool { return p == next }), next)
	}
}

// isBefore reports whether p's project was served less than that of other, if
// there is one.
func (p *pool) isBefore(other *pool) bool {
	return other == nil || p.function.project.account.Before(&other.function.project.account)
}

// grantLocked gives a place in m to a request that waits.
func (f *Fleet) grantLocked(next int, m *member, now time.Time, how found) {
	p := m.pool
	w := p.waiting[next]
	p.removeLocked(next)
	l := f.takeLocked(m, now, how, w.client)
	p.leaveLocked(f)
	w.ready <- granted{lease: l}
}

// removeLocked takes a request out of the queue; mostly that is the first.
func (p *pool) removeLocked(i int) {
	if i > 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return
	}
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
}

// refuseLocked gives an error to the requests that wait for p and have waited
// through so many failed starts.
func (f *Fleet) refuseLocked(p *pool, err error, failed int) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		if w.failed < failed {
			return false
		}
		w.ready <- granted{err: err}
		p.leaveLocked(f)
		return true
	})
}
