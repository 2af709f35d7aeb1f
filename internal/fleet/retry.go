package fleet

import (
	"math/rand/v2"
	"time"
)

// Where starts fail while other instances of the function are busy, those who
// wait may be served by these, or by a later start.
const (
	maxFailedStarts   = 6 // that a request waits through, before it gets the error of the last
	firstRestartPause = 100 * time.Millisecond
	maxRestartPause   = 2 * time.Second
)

// restartPause is how long no further start of a function is tried after so many
// failed in a row, with jitter.
func restartPause(failures int) time.Duration {
	most := min(maxRestartPause, firstRestartPause<<min(failures-1, 10))
	return most/2 + rand.N(most/2)
}

// failedLocked draws the conclusions from a start for p that failed: the requests
// get its error unless other instances may still serve them. Those wait for the
// next attempt, through [maxFailedStarts] of them at most.
func (f *Fleet) failedLocked(p *pool, err error, now time.Time) {
	switch {
	case p.starting+p.active == 0:
		f.refuseLocked(p, err, 0)
	case !now.Before(p.retry): // else it began together with one that failed already
		p.failures++
		p.retry = now.Add(restartPause(p.failures))
		p.wanted = 0
		for _, w := range p.waiting {
			w.failed++
		}
		f.refuseLocked(p, err, maxFailedStarts)
	}
	f.growLocked(p, now) // which looks again later
}
