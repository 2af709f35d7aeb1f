package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// waiter is a request that waits for a free place.
type waiter struct {
	since  time.Time
	client string       // "" is no particular client
	failed int          // starts that failed while it waited; see [Fleet.failedLocked]
	ready  chan granted // of capacity 1; one value is sent when the waiter leaves the queue
}

// granted is the result of waiting: a lease or an error.
type granted struct {
	lease lease
	err   error
}

// ticket is the result of ask: a lease, or a position in the queue.
type ticket struct {
	revision *revision
	lease    lease
	waiter   *waiter // nil if there is a lease
}

// ask returns a lease on an instance of spec if one has a free place, preferably the
// instance wanted, and otherwise a position in the queue. first is false for a
// further attempt of the same request.
func (f *Fleet) ask(ctx context.Context, spec *lateen.FunctionSpec, now time.Time, wanted lateen.InstanceID, first bool) (ticket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return ticket{}, errEnding
	}
	rev := f.revisionLocked(ctx, spec)
	rev.function.project.weigh(f, spec.Weight)
	if first {
		f.arriveLocked(rev, now)
	}
	client := lateen.ClientFrom(ctx)
	if _, waits := rev.nextLocked(now); waits == nil && rev.mayTakeLocked(client) {
		if inst := rev.preferredLocked(wanted); inst != nil && f.mayPassLocked(rev) && f.admitLocked(rev, now) {
			return ticket{revision: rev, lease: f.takeLocked(inst, now, startWarm, client)}, nil
		}
	}
	project := rev.function.project
	full := f.queuesLocked(rev)
	switch {
	case full == nil || f.displaceLocked(full, client):
	case len(rev.waiting) >= f.o.Queue:
		f.dropLocked(rev)
		return ticket{}, lateen.ErrFunctionThrottled.With("%d requests already wait for %s", f.o.Queue, spec.Name)
	case project.waiting >= f.o.ProjectQueue:
		f.dropLocked(rev)
		return ticket{}, lateen.ErrFunctionThrottled.With("%d requests already wait for the functions of this project", f.o.ProjectQueue)
	}
	w := &waiter{since: now, client: client, ready: make(chan granted, 1)}
	if project.waiting == 0 {
		f.cpuClock.Join(&project.cpuAccount)
	}
	rev.waiting = append(rev.waiting, w)
	project.waiting++
	project.begin(f)
	for _, other := range full {
		f.dropLocked(other) // if displaceLocked refused its last waiting request
	}
	f.serveNextLocked(rev, now)
	f.growLocked(rev, now)
	return ticket{revision: rev, waiter: w}, nil
}

// wait returns the lease or the error that w gets.
func (f *Fleet) wait(ctx context.Context, rev *revision, w *waiter) (lease, error) {
	select {
	case g := <-w.ready:
		return g.lease, g.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	if i := slices.Index(rev.waiting, w); i >= 0 {
		rev.waiting = slices.Delete(rev.waiting, i, i+1)
		rev.leaveLocked(f)
		f.dropLocked(rev)
	}
	f.mu.Unlock()
	select {
	case g := <-w.ready: // a lease that was granted at the same moment goes to the next request
		if g.err == nil {
			f.release(&g.lease, &lateen.Invocation{}, outcome{})
		}
	default:
	}
	return lease{}, context.Cause(ctx)
}

// leaveLocked counts a waiter that has left the queue.
func (rev *revision) leaveLocked(f *Fleet) {
	rev.function.project.waiting--
	rev.function.project.end(f)
}

// admitLocked reports whether a request of rev may use CPU time: if it is not short,
// or if rev's project uses less than its share.
func (f *Fleet) admitLocked(rev *revision, now time.Time) bool {
	need := rev.function.need()
	if need == 0 || !f.shortLocked(now) {
		return true
	}
	project := rev.function.project
	return autoscale.Processors{Total: f.o.Processors, Used: f.load, Own: project.load, Part: float64(project.weight) / float64(max(project.weight, f.weights))}.Admit(need)
}

// shortLocked reports whether CPU time is short.
func (f *Fleet) shortLocked(now time.Time) bool {
	return f.usage.isShort(now, f.o.Processors, f.load)
}

// serveLocked gives the free places of rev to its waiting requests.
func (f *Fleet) serveLocked(rev *revision, now time.Time) {
	for {
		next, inst := rev.nextLocked(now)
		if inst == nil {
			return
		}
		if !f.admitLocked(rev, now) {
			f.queueForCPULocked(rev)
			return
		}
		f.grantLocked(next, inst, now, startWarm)
	}
}

// queueForCPULocked queues the waiting requests of rev for CPU time.
func (f *Fleet) queueForCPULocked(rev *revision) {
	if !rev.waitsForCPU {
		rev.waitsForCPU = true
		f.cpuWaiters = append(f.cpuWaiters, rev)
	}
}

// serveNextLocked gives free places of rev and CPU time to the waiting requests of
// rev. If other revisions wait for CPU time, the fair order decides among all of
// them.
func (f *Fleet) serveNextLocked(rev *revision, now time.Time) {
	switch {
	case f.mayPassLocked(rev):
		f.serveLocked(rev, now)
	case len(rev.waiting) > 0:
		f.queueForCPULocked(rev)
	}
	f.serveCPUWaitersLocked(now)
}

// mayPassLocked reports whether requests for rev may bypass the queue for CPU time:
// if the queue is empty or if they use no CPU time.
func (f *Fleet) mayPassLocked(rev *revision) bool {
	return len(f.cpuWaiters) == 0 || rev.function.need() == 0
}

// serveCPUWaitersLocked gives free CPU time to the waiting requests of the projects
// that have used the least by their weight, and to the functions of a project in
// turn. A project without requests in flight comes first if the CPUs do not suffice
// for the first project.
func (f *Fleet) serveCPUWaitersLocked(now time.Time) {
	for len(f.cpuWaiters) > 0 {
		var first, idle *revision
		f.cpuWaiters = slices.DeleteFunc(f.cpuWaiters, func(rev *revision) bool {
			if _, inst := rev.nextLocked(now); inst == nil { // the demand for instances takes care of it
				rev.waitsForCPU = false
				return true
			}
			if rev.isBefore(first) {
				first = rev
			}
			if rev.function.project.load <= 0 && rev.isBefore(idle) {
				idle = rev
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
		i, inst := next.nextLocked(now)
		f.grantLocked(i, inst, now, startWarm)
		f.cpuWaiters = append(slices.DeleteFunc(f.cpuWaiters, func(rev *revision) bool { return rev == next }), next)
	}
}

// isBefore reports whether rev's project comes before that of other in the fair
// order; it does if other is nil.
func (rev *revision) isBefore(other *revision) bool {
	return other == nil || rev.function.project.cpuAccount.Before(&other.function.project.cpuAccount)
}

// grantLocked gives a place in inst to the waiting request with the index next.
func (f *Fleet) grantLocked(next int, inst *instance, now time.Time, kind startKind) {
	rev := inst.revision
	w := rev.waiting[next]
	rev.removeLocked(next)
	l := f.takeLocked(inst, now, kind, w.client)
	rev.leaveLocked(f)
	w.ready <- granted{lease: l}
}

// removeLocked removes a request from the queue, usually the first.
func (rev *revision) removeLocked(i int) {
	if i > 0 {
		rev.waiting = slices.Delete(rev.waiting, i, i+1)
		return
	}
	rev.waiting[0] = nil
	rev.waiting = rev.waiting[1:]
}

// refuseLocked answers with err the waiting requests of rev that have waited through
// at least failed failed starts.
func (f *Fleet) refuseLocked(rev *revision, err error, failed int) {
	rev.waiting = slices.DeleteFunc(rev.waiting, func(w *waiter) bool {
		if w.failed < failed {
			return false
		}
		w.ready <- granted{err: err}
		rev.leaveLocked(f)
		return true
	})
}
