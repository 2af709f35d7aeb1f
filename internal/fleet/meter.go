package fleet

import (
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
)

// maxRate bounds what is believed of a rate: the clock of processor time may
// tick once in a working time of microseconds.
const maxRate = 4

// meter splits the processor time of an instance between the requests it has:
// at every moment equally. It is told when their number changes, and from time
// to time what the instance has used; between two such readings the rate is
// taken to be even, and after the last as it was.
//
//	one for 2 s, beside another for the second of them, 3 s used: 1.5 s a second
//	of rate, so the first has 1.5 + 0.75, the second 0.75
type meter struct {
	n       int       // requests now
	at      time.Time // up to when the sums below go
	part    float64   // ∫ dt/n while n > 0, seconds
	working float64   // ∫ dt while n > 0, seconds

	usage  engine.Usage // of the last reading
	read   float64      // part at the last reading
	active float64      // working at the last reading
	share  float64      // processor seconds that a request would have which was there from the beginning, as of the last reading
	rate   float64      // processors used between the last two readings
}

// to brings the sums up to a time.
func (m *meter) to(now time.Time) {
	if m.n > 0 && now.After(m.at) {
		passed := now.Sub(m.at).Seconds()
		m.part += passed / float64(m.n)
		m.working += passed
	}
	m.at = now
}

// change notes that so many requests more are there from now on.
func (m *meter) change(now time.Time, by int) {
	m.to(now)
	m.n += by
}

// take enters a reading. One that is older than another, which happens when
// two are taken at once, is ignored.
func (m *meter) take(now time.Time, u engine.Usage) {
	m.to(now)
	used := (u.CPU - m.usage.CPU).Seconds()
	if used < 0 {
		return
	}
	if working := m.working - m.active; working > 0 {
		m.share += used / working * (m.part - m.read)
		m.rate = min(used/working, maxRate)
		m.read, m.active = m.part, m.working
	}
	peak := max(m.usage.Peak, u.Peak, u.Memory)
	m.usage = u
	m.usage.Peak = peak
}

// now returns the share as of a time; the difference of two is what a request
// used that was there between them.
func (m *meter) now(at time.Time) float64 {
	m.to(at)
	return m.share + m.rate*(m.part-m.read)
}

// usage is how many processors all instances use together, by measure.
type usage struct {
	since time.Time     // when the window began
	spent time.Duration // since then
	rate  float64       // lately
	calm  time.Time     // when there was last enough although much was to be expected
	quiet time.Time     // since when it has been so in every window
}

// short is the part of all processors that, once it is used, leaves too little.
const short = 0.75

const (
	usageWindow = 100 * time.Millisecond // over which a rate is taken, at least
	usageStale  = time.Second            // after which it says nothing any more
	usageSmooth = 3                      // windows over which it is smoothed
	usageQuiet  = 5 * usageWindow        // of being enough, after which more instances may use it
)

// add enters processor time that was used, of so many processors, when so much
// was expected to be in use.
func (u *usage) add(now time.Time, spent time.Duration, processors, expected float64) {
	u.spent += max(0, spent)
	passed := now.Sub(u.since)
	if passed < usageWindow {
		return
	}
	rate := u.spent.Seconds() / passed.Seconds()
	if passed < usageStale {
		rate = u.rate + (rate-u.rate)/usageSmooth
	}
	switch enough := rate < short*processors; {
	case !enough:
		u.quiet = time.Time{}
	case expected >= processors:
		u.calm = now
		if u.quiet.IsZero() {
			u.quiet = now
		}
	}
	u.rate, u.since, u.spent = rate, now, 0
}

// begin begins a window, so that it does not reach back to quieter times.
func (u *usage) begin(now time.Time) { u.since, u.spent = now, 0 }

// isShort reports whether there is too little: if it was measured, or if
// all is expected to be in use and nothing was measured to the contrary.
func (u *usage) isShort(now time.Time, processors, expected float64) bool {
	if now.Sub(u.since) < usageStale && u.rate >= short*processors {
		return true
	}
	return expected >= processors && now.Sub(u.calm) > 2*usageWindow
}

// mayGrow reports whether there has been enough for so long that the processors
// are not what those who wait wait for.
func (u *usage) mayGrow(now time.Time, processors, expected float64) bool {
	return !u.isShort(now, processors, expected) && (expected < processors || !u.quiet.IsZero() && now.Sub(u.quiet) >= usageQuiet)
}

// lookLocked sees to it that the usage of all instances is looked at from time
// to time while much is in use.
func (f *Fleet) lookLocked(now time.Time) {
	if f.looking || f.ended || f.load < f.o.Processors {
		return
	}
	f.looking = true
	f.usage.begin(now)
	time.AfterFunc(usageWindow, f.look)
}

// look looks at what the instances with requests use.
func (f *Fleet) look() {
	f.mu.Lock()
	var working []*member
	for m := range f.members {
		if m.inFlight > 0 {
			working = append(working, m)
		}
	}
	f.mu.Unlock()
	for _, m := range working {
		now := time.Now()
		if usage, read := m.readUsage(now); read {
			f.mu.Lock()
			f.enterLocked(m, now, usage)
			f.mu.Unlock()
		}
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage.add(now, 0, f.o.Processors, f.load)
	if f.looking = f.load >= f.o.Processors && !f.ended; f.looking {
		time.AfterFunc(usageWindow, f.look)
	}
	f.serveGatedLocked(now)
}
