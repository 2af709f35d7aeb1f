package pool

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// QuietAfter is how long after the last start a [Rush] is over: where two
	// processors share a core, a process that boots doubles the time of a start.
	QuietAfter = 100 * time.Millisecond
	// Patience is how long what waits for quiet waits where it never gets quiet.
	Patience = 2 * time.Second

	askBusy = 20 * time.Millisecond // whether starts are still under way
)

// Rush is those who wait for a start: what can be done later is not done while
// there are any, nor for a while after the last. The zero Rush is over.
type Rush struct {
	under atomic.Int64 // starts and first requests under way
	last  atomic.Int64 // when one ended, in Unix ns
}

// Enter takes note of one; leave, of its end.
func (r *Rush) Enter() (leave func()) {
	r.under.Add(1)
	return func() {
		r.last.Store(time.Now().UnixNano())
		r.under.Add(-1)
	}
}

// On reports whether any is under way.
func (r *Rush) On() bool { return r.under.Load() > 0 }

// Quiet is in how long a time to look whether it is over; 0 where it is.
func (r *Rush) Quiet(now time.Time) time.Duration {
	if r.On() {
		return askBusy
	}
	since := now.Sub(time.Unix(0, r.last.Load()))
	if since < -QuietAfter { // the clock was set back
		return 0
	}
	return max(0, QuietAfter-since)
}

// Over waits for the end of the rush, though not longer than [Patience]; the
// error is why ctx ended.
func (r *Rush) Over(ctx context.Context) error {
	for latest := time.Now().Add(Patience); ; {
		now := time.Now()
		wait := min(r.Quiet(now), latest.Sub(now))
		if wait <= 0 {
			return context.Cause(ctx)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
