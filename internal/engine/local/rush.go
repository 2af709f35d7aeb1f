package local

import (
	"sync/atomic"
	"time"
)

// rush is those who wait for a start: what can be done later is not done while
// there are any, nor for a while after the last.
type rush struct {
	under atomic.Int64 // starts and first requests under way
	last  atomic.Int64 // when one ended, in Unix ns
}

// enter takes note of one; leave, of its end.
func (r *rush) enter() (leave func()) {
	r.under.Add(1)
	return func() {
		r.last.Store(time.Now().UnixNano())
		r.under.Add(-1)
	}
}

// quiet is in how long a time to look whether it is over; 0 where it is.
func (r *rush) quiet(now time.Time) time.Duration {
	if r.under.Load() > 0 {
		return askBusy
	}
	return max(0, time.Unix(0, r.last.Load()).Add(quietAfter).Sub(now))
}
