package egress

import "sync/atomic"

// quota bounds how much of one resource is held at a time. What is held counts
// against the quotas above as well: an attachment's against its project's, a
// project's against the network's.
type quota struct {
	over *quota // nil: there is none above
	most int64
	held atomic.Int64
}

// take holds n more, unless this quota or one above it has less than n left.
func (q *quota) take(n int64) bool {
	if q == nil {
		return true
	}
	if q.held.Add(n) > q.most || !q.over.take(n) {
		q.held.Add(-n)
		return false
	}
	return true
}

// give returns n of what take has held.
func (q *quota) give(n int64) {
	for ; q != nil; q = q.over {
		q.held.Add(-n)
	}
}

// free is how much this quota and those above it have left, at least 0.
func (q *quota) free() int64 {
	least := q.most - q.held.Load()
	for q = q.over; q != nil; q = q.over {
		least = min(least, q.most-q.held.Load())
	}
	return max(least, 0)
}
