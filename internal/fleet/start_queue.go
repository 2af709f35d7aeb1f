package fleet

import (
	"slices"
	"time"
)

// startQueue holds the revisions that want to start instances, by project: a start is
// found without a look at all revisions, of which one project may have thousands.
type startQueue struct {
	projects []*project // those with revisions in the queue
	arrivals uint64
}

// isEmpty reports whether no revision wants a start.
func (q *startQueue) isEmpty() bool { return len(q.projects) == 0 }

// add queues n starts of rev.
func (q *startQueue) add(rev *revision, n int) {
	rev.wanted += n
	if rev.arrival > 0 {
		return
	}
	q.arrivals++
	rev.arrival = q.arrivals
	p := rev.function.project
	if len(p.starts) == 0 {
		q.projects = append(q.projects, p)
	}
	p.starts = append(p.starts, rev)
}

// remove removes rev from the queue.
func (q *startQueue) remove(rev *revision) {
	rev.wanted = 0
	if rev.arrival == 0 {
		return
	}
	rev.arrival = 0
	p := rev.function.project
	p.starts = slices.DeleteFunc(p.starts, func(other *revision) bool { return other == rev })
	if len(p.starts) == 0 {
		q.projects = slices.DeleteFunc(q.projects, func(other *project) bool { return other == p })
	}
}

// next returns the revision that starts an instance next, among those whose reserve is
// at least reserve: of the project with the fewest instances by its weight, the first
// to arrive. It removes projects that need no start any more.
func (q *startQueue) next(now time.Time, reserve int) *revision {
	var next *revision
	q.projects = slices.DeleteFunc(q.projects, func(p *project) bool {
		first := p.firstStart(now)
		if first == nil {
			return true
		}
		if p.reserve() >= reserve && (next == nil || first.startsBefore(next)) {
			next = first
		}
		return false
	})
	return next
}

// startsBefore reports whether the queued rev starts an instance before other.
func (rev *revision) startsBefore(other *revision) bool {
	has, others := rev.function.project.holding(0), other.function.project.holding(0)
	return has.Less(others) || !others.Less(has) && rev.arrival < other.arrival
}

// firstStart returns the first revision of p that still needs a start, nil if there is
// none. It removes those before it from the queue.
func (p *project) firstStart(now time.Time) *revision {
	for len(p.starts) > 0 {
		rev := p.starts[0]
		if rev.needed(now) > 0 {
			return rev
		}
		rev.arrival = 0
		p.starts[0] = nil
		p.starts = p.starts[1:]
	}
	return nil
}

// needed returns the queued starts of rev, without those that it does not need any more.
func (rev *revision) needed(now time.Time) int {
	if rev.wanted > 0 {
		rev.wanted = max(0, min(rev.wanted, rev.demand(now).Missing()))
	}
	return rev.wanted
}

// wantsMore reports whether p needs more than n of its queued starts.
func (p *project) wantsMore(n int, now time.Time) bool {
	for _, rev := range p.starts {
		if n -= rev.needed(now); n < 0 {
			return true
		}
	}
	return false
}
