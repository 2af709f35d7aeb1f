package fleet

import (
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
)

// maxRate bounds a measured rate, in CPUs: the kernel's CPU clock may tick once
// within a working time of microseconds.
const maxRate = 4

// meter divides the CPU time of an instance between its requests: equally among
// those in flight at each moment. Its inputs are the changes of their number, and
// now and then a reading of the CPU time that the instance has used. The rate
// between two readings counts as constant, and the rate after the last reading as
// that before it.
//
//	request A runs for 2 s, request B during the second of them, 3 s used: the rate
//	is 1.5 CPUs, so A gets 1.5 + 0.75 s and B gets 0.75 s
type meter struct {
	n       int       // requests in flight
	at      time.Time // time up to which the sums below are complete
	part    float64   // ∫ dt/n while n > 0, seconds
	working float64   // ∫ dt while n > 0, seconds
	frozen  float64   // ∫ dt while n = 0 and the instance is frozen, seconds
	rests   bool      // the instance is frozen

	usage  engine.Usage // last reading
	read   float64      // part at the last reading
	active float64      // working at the last reading
	share  float64      // CPU seconds of a request in flight since the beginning, as of the last reading
	rate   float64      // CPUs used between the last two readings
}

// to extends the sums to now. A time before the last one changes nothing: the clock
// is read before the fleet's mutex is taken, so times may arrive in the wrong order.
func (m *meter) to(now time.Time) {
	passed := now.Sub(m.at)
	if passed <= 0 {
		return
	}
	m.at = now
	switch {
	case m.n > 0:
		m.part += passed.Seconds() / float64(m.n)
		m.working += passed.Seconds()
	case m.rests:
		m.frozen += passed.Seconds()
	}
}

// rest records that the instance is frozen from now on, or that it no longer is.
func (m *meter) rest(now time.Time, frozen bool) {
	m.to(now)
	m.rests = frozen
}

// change adds by to the number of requests in flight.
func (m *meter) change(now time.Time, by int) {
	m.to(now)
	m.n += by
}

// take records a reading. It ignores a reading that is older than the last one; two
// concurrent readings may arrive in the wrong order.
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

// now returns the share at a time; the difference of two shares is the CPU time of a
// request that was in flight between them.
func (m *meter) now(at time.Time) float64 {
	m.to(at)
	return m.share + m.rate*(m.part-m.read)
}

// usage measures the CPUs that all instances use together.
type usage struct {
	since time.Time     // beginning of the window
	spent time.Duration // CPU time since then
	rate  float64       // smoothed rate
	calm  time.Time     // end of the last window with free CPU time despite a high expected use
	quiet time.Time     // end of the first window of the current series of such windows; zero if there is none
}

// short is the used fraction of all CPUs from which CPU time counts as short.
const short = 0.75

const (
	usageWindow = 100 * time.Millisecond // shortest time over which a rate is measured
	usageStale  = time.Second            // age at which a rate is of no use any more
	usageSmooth = 3                      // windows over which the rate is smoothed
	usageQuiet  = 5 * usageWindow        // length of a series of calm windows after which a revision may get more instances
)

// add records that CPU time was used. expected is the number of CPUs that the
// requests in flight are expected to use.
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

// begin starts a window, so that it does not include less busy times.
func (u *usage) begin(now time.Time) { u.since, u.spent = now, 0 }

// isShort reports whether CPU time is short: by measurement, or because all CPUs are
// expected to be in use and no recent measurement shows otherwise.
func (u *usage) isShort(now time.Time, processors, expected float64) bool {
	if now.Sub(u.since) < usageStale && u.rate >= short*processors {
		return true
	}
	return expected >= processors && now.Sub(u.calm) > 2*usageWindow
}

// mayGrow reports whether CPU time has been sufficient for so long that waiting
// requests must be short of instances, not of CPUs.
func (u *usage) mayGrow(now time.Time, processors, expected float64) bool {
	return !u.isShort(now, processors, expected) && (expected < processors || !u.quiet.IsZero() && now.Sub(u.quiet) >= usageQuiet)
}

// scheduleSampleLocked schedules periodic readings of the usage of all instances
// while all CPUs are expected to be in use.
func (f *Fleet) scheduleSampleLocked(now time.Time) {
	if f.sampling || f.ended || f.load < f.o.Processors {
		return
	}
	f.sampling = true
	f.usage.begin(now)
	time.AfterFunc(usageWindow, f.sampleUsage)
}

// sampleUsage reads the usage of all instances with requests.
func (f *Fleet) sampleUsage() {
	f.mu.Lock()
	var working []*instance
	for inst := range f.instances {
		if inst.inFlight > 0 {
			working = append(working, inst)
		}
	}
	f.mu.Unlock()
	for _, inst := range working {
		now := time.Now()
		if usage, read := inst.readUsage(now); read {
			f.mu.Lock()
			f.recordUsageLocked(inst, now, usage)
			f.mu.Unlock()
		}
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage.add(now, 0, f.o.Processors, f.load)
	if f.sampling = f.load >= f.o.Processors && !f.ended; f.sampling {
		time.AfterFunc(usageWindow, f.sampleUsage)
	}
	f.serveCPUWaitersLocked(now)
}
