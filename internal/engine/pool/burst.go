package pool

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// QuietAfter is the time after the last start at which a [Burst] ends: where two
	// processors share a core, a booting process doubles the time of a start.
	QuietAfter = 100 * time.Millisecond
	// MaxBurstWait is the longest time for which background work waits for the end of a
	// burst.
	MaxBurstWait = 2 * time.Second

	busyInterval = 20 * time.Millisecond // interval of checks while starts are in progress
)

// Burst tracks starts in progress: background work waits while there are any, and for
// [QuietAfter] after the last. The zero Burst has no starts.
type Burst struct {
	under atomic.Int64 // starts and first requests in progress
	last  atomic.Int64 // end of the last one, in Unix ns
}

// Enter records the beginning of a start; leave records its end.
func (r *Burst) Enter() (leave func()) {
	r.under.Add(1)
	return func() {
		r.last.Store(time.Now().UnixNano())
		r.under.Add(-1)
	}
}

// On reports whether any start is in progress.
func (r *Burst) On() bool { return r.under.Load() > 0 }

// Remaining returns the time after which to check again; 0 if the burst is over.
func (r *Burst) Remaining(now time.Time) time.Duration {
	if r.On() {
		return busyInterval
	}
	since := now.Sub(time.Unix(0, r.last.Load()))
	if since < -QuietAfter { // the clock was set back
		return 0
	}
	return max(0, QuietAfter-since)
}

// Over waits for the end of the burst, at most for [MaxBurstWait]. The error is the cause of
// the end of ctx.
func (r *Burst) Over(ctx context.Context) error {
	for latest := time.Now().Add(MaxBurstWait); ; {
		now := time.Now()
		wait := min(r.Remaining(now), latest.Sub(now))
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
