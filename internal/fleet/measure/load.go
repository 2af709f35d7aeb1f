package measure

import "time"

// Load measures the CPUs that all instances use together.
type Load struct {
	Processors float64 // CPUs for functions
	Expected   float64 // CPUs that the requests in flight are expected to use

	since    time.Time     // beginning of the window
	spent    time.Duration // CPU time since then
	rate     float64       // smoothed rate
	calm     time.Time     // end of the last window with free CPU time despite a high expected use
	unloaded time.Time     // end of the first window of the current series of such windows; zero if there is none
}

// Window is the shortest time over which a rate is measured.
const Window = 100 * time.Millisecond

const (
	short    = 0.75        // used fraction of all CPUs from which CPU time counts as short
	stale    = time.Second // age at which a rate is of no use any more
	smooth   = 3           // windows over which the rate is smoothed
	quietFor = 5 * Window  // length of a series of calm windows after which a function may get more instances
)

// Add records that CPU time was used.
func (l *Load) Add(now time.Time, spent time.Duration) {
	l.spent += max(0, spent)
	passed := now.Sub(l.since)
	if passed < Window {
		return
	}
	rate := l.spent.Seconds() / passed.Seconds()
	if passed < stale {
		rate = l.rate + (rate-l.rate)/smooth
	}
	switch enough := rate < short*l.Processors; {
	case !enough:
		l.unloaded = time.Time{}
	case l.Expected >= l.Processors:
		l.calm = now
		if l.unloaded.IsZero() {
			l.unloaded = now
		}
	}
	l.rate, l.since, l.spent = rate, now, 0
}

// Begin starts a window, so that it does not include less busy times.
func (l *Load) Begin(now time.Time) { l.since, l.spent = now, 0 }

// IsShort reports whether CPU time is short: by measurement, or because all CPUs are
// expected to be in use and no recent measurement shows otherwise.
func (l *Load) IsShort(now time.Time) bool {
	if now.Sub(l.since) < stale && l.rate >= short*l.Processors {
		return true
	}
	return l.Expected >= l.Processors && now.Sub(l.calm) > 2*Window
}

// MayGrow reports whether CPU time has been sufficient for so long that waiting
// requests must be short of instances, not of CPUs.
func (l *Load) MayGrow(now time.Time) bool {
	return !l.IsShort(now) && (l.Expected < l.Processors || !l.unloaded.IsZero() && now.Sub(l.unloaded) >= quietFor)
}
