package fleet

import (
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// makeRoomLocked reports whether another instance of p may start, stopping idle
// ones for it where it must.
func (f *Fleet) makeRoomLocked(p *pool, now time.Time) bool {
	if f.fitsLocked(p, now, 0) {
		return true
	}
	reserve := reserveOf(p.function.project)
	return reserve > 0 && f.fitsLocked(p, now, reserve)
}

// fitsLocked is the same with so many sixteenths more than the bounds.
func (f *Fleet) fitsLocked(p *pool, now time.Time, more int) bool {
	over := int64(f.total + 1 - f.o.Total - f.o.Total*more/16)
	if over > 0 && !f.evictLocked(p, now, over, func(*member) int64 { return 1 }) {
		return false
	}
	over = f.memory + p.estimate() - f.o.Memory - f.o.Memory*int64(more)/16
	return f.o.Memory <= 0 || over <= 0 || f.total == 0 || f.evictLocked(p, now, over, func(m *member) int64 { return m.held })
}

// reserveOf is how many sixteenths of the bounds are kept beyond them for a
// project: requests that do not end hold every instance for as long as they please,
// and a project without one would wait for them. A project of a team that has
// instances has half of what one of a team without any has, so that the projects of
// one team do not use it up.
func reserveOf(pr *project) int {
	switch {
	case pr.instances > 0:
		return 0
	case pr.team.instances > 0:
		return 1
	}
	return 2
}

// evictLocked stops idle instances for p until so much is free, by the measure
// of size; false if all of them do not have so much. Those that are always to be
// there go where it cannot be done without.
func (f *Fleet) evictLocked(p *pool, now time.Time, need int64, size func(*member) int64) bool {
	for _, last := range []bool{false, true} {
		var idle []*member
		var residents []autoscale.Resident
		for m := range f.members {
			if !f.idleLocked(m, p, now) || !last && m.pool.active <= m.pool.minimumLocked() {
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

// idleLocked reports whether m may go for p: it rests, and not only between two
// requests, unless it is of p's project or of one that has more.
func (f *Fleet) idleLocked(m *member, p *pool, now time.Time) bool {
	if m.inFlight > 0 || m.leaving {
		return false
	}
	owner, needy := m.pool.function.project, p.function.project
	if owner != needy && !owner.holding(0).Spares(needy.holding(0)) && now.Sub(m.rest.Quiet) < f.o.Idle.Freeze {
		return false
	}
	return m.instance.Busy() == 0
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

// turnTime is how long a busy instance is left to a function while others of its
// project have none.
const turnTime = 5 * time.Second

// yieldLocked has a busy instance go for p, once its requests have ended: one of
// the project that has most, if p's has less than its part, or of p's own, if p
// has none and it is its turn.
func (f *Fleet) yieldLocked(p *pool, now time.Time) {
	needy := p.function.project
	wanted := 0
	for _, other := range f.line {
		if other.function.project == needy {
			wanted += other.wanted
		}
	}
	if needy.owed >= wanted {
		return // what goes for it already suffices
	}
	projects, holdings := f.holdingsLocked(needy)
	var goes *member
	if from, ok := autoscale.Yield(holdings, 0); ok {
		goes = f.pickLocked(projects[from], func(a, b *member) bool { return a.inFlight < b.inFlight })
	} else if p.active+p.starting == 0 && needy.owed == 0 {
		goes = f.pickLocked(needy, func(a, b *member) bool { return a.since.Before(b.since) })
		if goes != nil && now.Sub(goes.since) < turnTime {
			return
		}
	}
	if goes != nil {
		goes.heir = needy
		needy.owed++
		f.retireLocked(goes, spared)
	}
}

// holdingsLocked returns the projects that have instances, and how many; the
// first is the needy one, with what goes for it.
func (f *Fleet) holdingsLocked(needy *project) ([]*project, []autoscale.Holding) {
	projects := []*project{needy}
	holdings := []autoscale.Holding{needy.holding(needy.owed)}
	for m := range f.members {
		if pr := m.pool.function.project; !m.leaving && !slices.Contains(projects, pr) {
			projects = append(projects, pr)
			holdings = append(holdings, pr.holding(0))
		}
	}
	return projects, holdings
}

// pickLocked returns the first of a project's instances by some order.
func (f *Fleet) pickLocked(pr *project, before func(a, b *member) bool) (first *member) {
	for m := range f.members {
		if m.pool.function.project == pr && !m.leaving && (first == nil || before(m, first)) {
			first = m
		}
	}
	return first
}
