package fleet

import (
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// ensureCapacity reports whether another instance of rev may start, evicting
// idle instances if necessary.
func (r *roster) ensureCapacity(rev *revision, now time.Time) bool {
	if r.fits(rev, now, 0) {
		return true
	}
	reserve := rev.function.project.reserve()
	return reserve > 0 && r.fits(rev, now, reserve)
}

// fits is ensureCapacity with bounds that are higher by more sixteenths.
func (r *roster) fits(rev *revision, now time.Time, more int) bool {
	over := int64(r.total + 1 - r.o.Total - r.o.Total*more/16)
	if over > 0 && !r.evict(rev, now, over, func(*instance) int64 { return 1 }) {
		return false
	}
	over = r.memory + rev.function.learned.Estimate() - r.o.Memory - r.o.Memory*int64(more)/16
	return r.o.Memory <= 0 || over <= 0 || r.total == 0 || r.evict(rev, now, over, func(inst *instance) int64 { return inst.held })
}

// evict stops idle instances for rev until need is free, as measured by size;
// false if all idle instances together are not enough. It stops minimum instances
// only if the others do not suffice.
func (r *roster) evict(rev *revision, now time.Time, need int64, size func(*instance) int64) bool {
	for _, last := range []bool{false, true} {
		var idle []*instance
		var residents []autoscale.Resident
		for inst := range r.instances {
			if !r.evictable(inst, rev, now) || !last && inst.revision.active <= inst.revision.minInstances() {
				continue
			}
			idle = append(idle, inst)
			residents = append(residents, autoscale.Resident{Priority: inst.priority, Memory: size(inst), Since: inst.idle.At})
		}
		stop, clock, ok := autoscale.Evict(residents, need, r.evictionClock)
		if !ok {
			continue
		}
		r.evictionClock = clock
		for _, i := range stop {
			r.retire(idle[i], graceful)
		}
		return true
	}
	return false
}

// evictable reports whether inst may be evicted for rev. inst must be idle. If
// inst is of another project that does not have more instances by its weight, inst
// must also have been idle for Options.Idle.Freeze, so that it is not evicted
// between two requests.
func (r *roster) evictable(inst *instance, rev *revision, now time.Time) bool {
	if inst.inFlight > 0 || inst.leaving {
		return false
	}
	owner, needy := inst.revision.function.project, rev.function.project
	if owner != needy && !owner.holding(0).Spares(needy.holding(0)) && now.Sub(inst.idle.BusyUntil) < r.o.Idle.Freeze {
		return false
	}
	return inst.process.Busy() == 0
}

// turnTime is the time for which a function keeps a busy instance while another
// function of its project has none.
const turnTime = 5 * time.Second

// yieldFor makes a busy instance leave for rev; its requests may finish. It
// chooses an instance of the project with the most instances by its weight, if that
// project then still has as many as rev's project. Otherwise, if rev has no
// instance, it chooses the oldest instance of rev's own project, once that is older
// than turnTime.
func (r *roster) yieldFor(rev *revision, now time.Time) {
	needy := rev.function.project
	if !needy.wantsMore(needy.yielding, now) {
		return // enough instances are leaving for it already
	}
	projects, holdings := r.holdings(needy)
	var chosen *instance
	if from, ok := autoscale.Yield(holdings, 0); ok {
		chosen = r.pick(projects[from], func(a, b *instance) bool { return a.inFlight < b.inFlight })
	} else if rev.active+rev.starting == 0 && needy.yielding == 0 {
		chosen = r.pick(needy, func(a, b *instance) bool { return a.since.Before(b.since) })
		if chosen != nil && now.Sub(chosen.since) < turnTime {
			return
		}
	}
	if chosen != nil {
		chosen.beneficiary = needy
		needy.yielding++
		r.retire(chosen, graceful)
	}
}

// holdings returns the projects that have instances, and their numbers of
// instances. The first is needy, with the instances that are leaving for it.
func (r *roster) holdings(needy *project) ([]*project, []autoscale.Holding) {
	projects := []*project{needy}
	holdings := []autoscale.Holding{needy.holding(needy.yielding)}
	for inst := range r.instances {
		if pr := inst.revision.function.project; !inst.leaving && !slices.Contains(projects, pr) {
			projects = append(projects, pr)
			holdings = append(holdings, pr.holding(0))
		}
	}
	return projects, holdings
}

// pick returns the first instance of a project in an order.
func (r *roster) pick(pr *project, before func(a, b *instance) bool) (first *instance) {
	for inst := range r.instances {
		if inst.revision.function.project == pr && !inst.leaving && (first == nil || before(inst, first)) {
			first = inst
		}
	}
	return first
}

// mayPrewarm reports whether there is enough capacity for a start that no
// request triggered: an eighth of the instances and of the memory stays free.
func (r *roster) mayPrewarm(now time.Time) bool {
	return r.starts.isEmpty() && r.attempts < r.o.Starts && !r.cpu.IsShort(now) &&
		r.total < r.o.Total-r.o.Total/8 && (r.o.Memory <= 0 || r.memory < r.o.Memory-r.o.Memory/8)
}
