package fleet

import (
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// idleReportDelay is the maximum time between the end of a response and the engine's
// report that the instance is idle, if there are no other requests. It is the
// longest time that requests waiting for capacity wait for such a report.
const idleReportDelay = 10 * time.Millisecond

// unplanned is the time after which an idle instance stops if no plan is made
// before.
const unplanned = time.Hour

// becomeIdle begins the idle time of inst, which has no requests.
func (r *roster) becomeIdle(inst *instance, now time.Time) {
	inst.idle = autoscale.IdleState{BusyUntil: now, At: now, Until: now.Add(unplanned), Frozen: inst.frozen, Unfreezable: inst.unfreezable, Unreclaimed: inst.unreclaimable}
	inst.planned = false
	if r.o.KeepAlive > 0 {
		inst.idle.Until, inst.planned = now.Add(r.o.KeepAlive), true
	}
	fn := inst.revision.function
	inst.priority = autoscale.Priority(r.evictionClock, fn.learned.History.Uses(now), fn.learned.CostsAt(inst.revision.rank(inst)))
	look := min(r.o.Idle.Freeze, inst.idle.Until.Sub(now))
	if !r.starts.isEmpty() {
		look = min(look, idleReportDelay)
	}
	if at := now.Add(look); inst.due.IsZero() || at.Before(inst.due) {
		inst.tickAt(now, at)
	}
	if !r.starts.isEmpty() {
		r.startsDue = true // inst may now be evicted
	}
}

// planFor returns the time until which inst is kept. If inst is the first of its
// revision's instances to get requests, it also updates the plan of the function.
func (r *roster) planFor(inst *instance, now time.Time) time.Time {
	fn, rank := inst.revision.function, inst.revision.rank(inst)
	plan := r.o.Policy.Keep(&fn.learned.History, now, fn.learned.CostsAt(rank))
	if rank == 0 {
		fn.plan = plan
	}
	return plan.KeepUntil
}
