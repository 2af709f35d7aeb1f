package fleet

import (
	"slices"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// makeRoomLocked reports whether another instance of p may start, stopping idle
// ones for it where it must.
func (f *Fleet) makeRoomLocked(p *pool) bool {
	if f.total >= f.o.Total && !f.evictLocked(1, func(*member) int64 { return 1 }) {
		return false
	}
	over := f.memory + p.estimate() - f.o.Memory
	return f.o.Memory <= 0 || over <= 0 || f.total == 0 || f.evictLocked(over, func(m *member) int64 { return m.held })
}

// evictLocked stops idle instances until so much is free, by the measure of
// size; false if all of them do not have so much. Those that are always to be
// there go where it cannot be done without.
func (f *Fleet) evictLocked(need int64, size func(*member) int64) bool {
	for _, last := range []bool{false, true} {
		var idle []*member
		var residents []autoscale.Resident
		for m := range f.members {
			if m.inFlight > 0 || m.leaving || m.instance.Busy() > 0 || !last && m.pool.active <= m.pool.minimumLocked() {
				continue
			}
			idle = append(idle, m)
			residents = append(residents, autoscale.Resident{Priority: m.priority, Memory: size(m), Since: m.rest.At})
		}
		stop, dual, ok := autoscale.Evict(residents, need, f.dual)
		if !ok {
			continue
		}
		f.dual = dual
		for _, i := range stop {
			f.retireLocked(idle[i], spared)
		}
		return true
	}
	return false
}

// members yields every instance there is.
func (f *Fleet) members(yield func(*member) bool) {
	for _, p := range f.pools {
		for _, m := range p.members {
			if !yield(m) {
				return
			}
		}
	}
}

// yieldLocked has the project that has most let go of a busy instance for p,
// once its requests have ended, if p's project has less than its part.
func (f *Fleet) yieldLocked(p *pool) {
	if f.yielding >= len(f.line) {
		return // what was let go of suffices for now
	}
	var projects []*project
	var holdings []autoscale.Holding
	needy := -1
	for m := range f.members {
		if m.leaving || slices.Contains(projects, m.pool.function.project) {
			continue
		}
		projects = append(projects, m.pool.function.project)
	}
	if !slices.Contains(projects, p.function.project) {
		projects = append(projects, p.function.project)
	}
	for i, pr := range projects {
		holdings = append(holdings, autoscale.Holding{Has: pr.instances})
		if pr == p.function.project {
			needy = i
		}
	}
	from, ok := autoscale.Yield(holdings, needy)
	if !ok {
		return
	}
	var least *member
	for m := range f.members {
		if m.pool.function.project == projects[from] && !m.leaving && (least == nil || m.inFlight < least.inFlight) {
			least = m
		}
	}
	if least != nil {
		f.retireLocked(least, yielded)
	}
}
