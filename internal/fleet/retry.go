package fleet

import (
	"math/rand/v2"
	"time"
)

// Limits of starts that fail while other instances of the function are busy: these
// instances, or a later start, may still serve the waiting requests.
const (
	maxFailedStarts   = 6 // failed starts that a request waits through before it gets the error of the last one
	firstRestartPause = 100 * time.Millisecond
	maxRestartPause   = 2 * time.Second
)

// restartPause returns the time without further starts of a function after failures
// in a row, with jitter.
func restartPause(failures int) time.Duration {
	most := min(maxRestartPause, firstRestartPause<<min(failures-1, 10))
	return most/2 + rand.N(most/2)
}

// startFailed handles a failed start of rev. If rev has no other instance or start,
// the waiting requests get the error. Otherwise they wait for the next attempt,
// through [maxFailedStarts] at most; the caller schedules it.
func (r *roster) startFailed(rev *revision, err error, now time.Time) {
	switch {
	case rev.starting+rev.active == 0:
		r.refuse(rev, err, 0)
	case !now.Before(rev.retry): // otherwise it began together with a start whose failure has been counted
		rev.failures++
		rev.retry = now.Add(restartPause(rev.failures))
		r.starts.remove(rev)
		for _, w := range rev.waiting {
			w.failed++
		}
		r.refuse(rev, err, maxFailedStarts)
	}
}
