package fleet

import (
	"slices"
	"time"
)

// enter adds a waiter to the queue of its revision.
func (r *roster) enter(w *waiter) {
	rev, project := w.revision, w.revision.function.project
	if project.waiting.n == 0 {
		r.cpu.clock.Join(&project.cpuAccount)
	}
	rev.waiting = append(rev.waiting, w)
	rev.crowd.add(w)
	project.waiting.add(w)
	r.cpu.begin(project)
}

// leave counts a waiter that has left the queue of its revision.
func (r *roster) leave(w *waiter) {
	rev, project := w.revision, w.revision.function.project
	rev.crowd.remove(w)
	project.waiting.remove(w)
	r.cpu.end(project)
}

// serve gives the free places of rev to its waiting requests.
func (r *roster) serve(rev *revision, now time.Time) {
	for {
		next, inst := rev.nextWaiting(now)
		if inst == nil {
			return
		}
		if !r.cpu.admit(rev.function, now) {
			r.queueForCPU(rev)
			return
		}
		r.grant(next, inst, now, startWarm)
	}
}

// queueForCPU queues the waiting requests of rev for CPU time.
func (r *roster) queueForCPU(rev *revision) {
	if !rev.waitsForCPU {
		rev.waitsForCPU = true
		r.cpuWaiters = append(r.cpuWaiters, rev)
	}
}

// serveNext gives free places of rev and CPU time to the waiting requests of
// rev. If other revisions wait for CPU time, the fair order decides among all of
// them.
func (r *roster) serveNext(rev *revision, now time.Time) {
	switch {
	case r.mayPass(rev):
		r.serve(rev, now)
	case len(rev.waiting) > 0:
		r.queueForCPU(rev)
	}
	r.serveCPUWaiters(now)
}

// mayPass reports whether requests for rev may bypass the queue for CPU time:
// if the queue is empty or if they use no CPU time.
func (r *roster) mayPass(rev *revision) bool {
	return len(r.cpuWaiters) == 0 || rev.function.learned.Need() == 0
}

// serveCPUWaiters gives free CPU time to the waiting requests of the projects
// that have used the least by their weight, and to the functions of a project in
// turn. A project without requests in flight comes first if the CPUs do not suffice
// for the first project.
func (r *roster) serveCPUWaiters(now time.Time) {
	for len(r.cpuWaiters) > 0 {
		var first, idle *revision
		r.cpuWaiters = slices.DeleteFunc(r.cpuWaiters, func(rev *revision) bool {
			if _, inst := rev.nextWaiting(now); inst == nil { // the demand for instances takes care of it
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
		if next != nil && !r.cpu.admit(next.function, now) {
			next = idle
		}
		if next == nil {
			return
		}
		i, inst := next.nextWaiting(now)
		r.grant(i, inst, now, startWarm)
		r.cpuWaiters = append(slices.DeleteFunc(r.cpuWaiters, func(rev *revision) bool { return rev == next }), next)
	}
}

// grant gives a place in inst to the waiting request with the index next.
func (r *roster) grant(next int, inst *instance, now time.Time, kind startKind) {
	rev := inst.revision
	w := rev.waiting[next]
	rev.remove(next)
	l := r.take(inst, now, kind, w.client)
	r.leave(w)
	w.ready <- granted{lease: l}
}

// take takes a place in inst for a client; "" is no particular client.
func (r *roster) take(inst *instance, now time.Time, kind startKind, client string) lease {
	rev, fn := inst.revision, inst.revision.function
	switch {
	case inst.unused:
		inst.unused, kind = false, startPrewarmed
	case inst.freezing && kind == startWarm:
		kind = startThawed
	}
	inst.inFlight++
	rev.countPlaces(client, 1)
	inst.meter.Change(now, 1)
	l := lease{
		instance: inst, kind: kind, taken: now, client: client, thaw: inst.freezing, need: fn.learned.Need(), cost: costOf(fn.learned.CPU),
		concurrency: inst.inFlight, full: inst.inFlight >= fn.learned.Limit.At(rev.ceiling),
		share: inst.meter.Share(now), outbound: inst.meter.Last().Outbound,
	}
	r.cpu.take(fn, l.need, l.cost, now)
	return l
}

// refuse answers with err the waiting requests of rev that have waited through
// at least failed failed starts.
func (r *roster) refuse(rev *revision, err error, failed int) {
	rev.waiting = slices.DeleteFunc(rev.waiting, func(w *waiter) bool {
		if w.failed < failed {
			return false
		}
		w.ready <- granted{err: err}
		r.leave(w)
		return true
	})
}
