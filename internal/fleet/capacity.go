package fleet

import (
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// ensureCapacityLocked reports whether another instance of rev may start, evicting
// idle instances if necessary.
func (f *Fleet) ensureCapacityLocked(rev *revision, now time.Time) bool {
	if f.fitsLocked(rev, now, 0) {
		return true
	}
	reserve := reserveOf(rev.function.project)
	return reserve > 0 && f.fitsLocked(rev, now, reserve)
}

// fitsLocked is ensureCapacityLocked with bounds that are higher by more sixteenths.
func (f *Fleet) fitsLocked(rev *revision, now time.Time, more int) bool {
	over := int64(f.total + 1 - f.o.Total - f.o.Total*more/16)
	if over > 0 && !f.evictLocked(rev, now, over, func(*instance) int64 { return 1 }) {
		return false
	}
	over = f.memory + rev.estimate() - f.o.Memory - f.o.Memory*int64(more)/16
	return f.o.Memory <= 0 || over <= 0 || f.total == 0 || f.evictLocked(rev, now, over, func(inst *instance) int64 { return inst.held })
}

// reserveOf returns the reserve of a project, in sixteenths of the bounds: requests
// that do not end can hold every instance for any time, and a project without
// instances would wait for them. A project whose team has instances gets half of the
// full reserve, so that the projects of one team cannot use it up.
func reserveOf(pr *project) int {
	switch {
	case pr.instances > 0:
		return 0
	case pr.team.instances > 0:
		return 1
	}
	return 2
}

// evictLocked stops idle instances for rev until need is free, as measured by size;
// false if all idle instances together are not enough. It stops minimum instances
// only if the others do not suffice.
func (f *Fleet) evictLocked(rev *revision, now time.Time, need int64, size func(*instance) int64) bool {
	for _, last := range []bool{false, true} {
		var idle []*instance
		var residents []autoscale.Resident
		for inst := range f.instances {
			if !f.evictableLocked(inst, rev, now) || !last && inst.revision.active <= inst.revision.minimumLocked() {
				continue
			}
			idle = append(idle, inst)
			residents = append(residents, autoscale.Resident{Priority: inst.priority, Memory: size(inst), Since: inst.idle.At})
		}
		stop, clock, ok := autoscale.Evict(residents, need, f.evictionClock)
		if !ok {
			continue
		}
		f.evictionClock = clock
		for _, i := range stop {
			f.retireLocked(idle[i], graceful)
		}
		return true
	}
	return false
}

// evictableLocked reports whether inst may be evicted for rev. inst must be idle. If
// inst is of another project that does not have more instances by its weight, inst
// must also have been idle for Options.Idle.Freeze, so that it is not evicted
// between two requests.
func (f *Fleet) evictableLocked(inst *instance, rev *revision, now time.Time) bool {
	if inst.inFlight > 0 || inst.leaving {
		return false
	}
	owner, needy := inst.revision.function.project, rev.function.project
	if owner != needy && !owner.holding(0).Spares(needy.holding(0)) && now.Sub(inst.idle.Quiet) < f.o.Idle.Freeze {
		return false
	}
	return inst.process.Busy() == 0
}

// instances yields all instances.
func (f *Fleet) instances(yield func(*instance) bool) {
	for _, rev := range f.revisions {
		for _, inst := range rev.instances {
			if !yield(inst) {
				return
			}
		}
	}
}

// turnTime is the time for which a function keeps a busy instance while another
// function of its project has none.
const turnTime = 5 * time.Second

// yieldLocked makes a busy instance leave for rev; its requests may finish. It
// chooses an instance of the project with the most instances by its weight, if that
// project then still has as many as rev's project. Otherwise, if rev has no
// instance, it chooses the oldest instance of rev's own project, once that is older
// than turnTime.
func (f *Fleet) yieldLocked(rev *revision, now time.Time) {
	needy := rev.function.project
	wanted := 0
	for _, other := range f.startQueue {
		if other.function.project == needy {
			wanted += other.wanted
		}
	}
	if needy.yielding >= wanted {
		return // enough instances are leaving for it already
	}
	projects, holdings := f.holdingsLocked(needy)
	var chosen *instance
	if from, ok := autoscale.Yield(holdings, 0); ok {
		chosen = f.pickLocked(projects[from], func(a, b *instance) bool { return a.inFlight < b.inFlight })
	} else if rev.active+rev.starting == 0 && needy.yielding == 0 {
		chosen = f.pickLocked(needy, func(a, b *instance) bool { return a.since.Before(b.since) })
		if chosen != nil && now.Sub(chosen.since) < turnTime {
			return
		}
	}
	if chosen != nil {
		chosen.beneficiary = needy
		needy.yielding++
		f.retireLocked(chosen, graceful)
	}
}

// holdingsLocked returns the projects that have instances, and their numbers of
// instances. The first is needy, with the instances that are leaving for it.
func (f *Fleet) holdingsLocked(needy *project) ([]*project, []autoscale.Holding) {
	projects := []*project{needy}
	holdings := []autoscale.Holding{needy.holding(needy.yielding)}
	for inst := range f.instances {
		if pr := inst.revision.function.project; !inst.leaving && !slices.Contains(projects, pr) {
			projects = append(projects, pr)
			holdings = append(holdings, pr.holding(0))
		}
	}
	return projects, holdings
}

// pickLocked returns the first instance of a project in an order.
func (f *Fleet) pickLocked(pr *project, before func(a, b *instance) bool) (first *instance) {
	for inst := range f.instances {
		if inst.revision.function.project == pr && !inst.leaving && (first == nil || before(inst, first)) {
			first = inst
		}
	}
	return first
}
