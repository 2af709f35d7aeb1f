package egress

import "sync/atomic"

// quota bounds the amount of one resource in use. Each amount also counts against
// the parent quotas: an attachment's against its project's, a project's against the
// network's.
type quota struct {
	parent *quota // parent quota, or nil
	limit  int64
	held   atomic.Int64
}

// take reserves n more, unless this quota or a parent has less than n left.
func (q *quota) take(n int64) bool {
	if q == nil {
		return true
	}
	if q.held.Add(n) > q.limit || !q.parent.take(n) {
		q.held.Add(-n)
		return false
	}
	return true
}

// give returns n of the reserved amount.
func (q *quota) give(n int64) {
	for ; q != nil; q = q.parent {
		q.held.Add(-n)
	}
}

// free is the amount that this quota and its parents have left, at least 0.
func (q *quota) free() int64 {
	least := q.limit - q.held.Load()
	for q = q.parent; q != nil; q = q.parent {
		least = min(least, q.limit-q.held.Load())
	}
	return max(least, 0)
}
