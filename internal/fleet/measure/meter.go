// Package measure turns readings of the usage of instances into the CPU time of a
// request, the usage of an instance in each state, the CPUs that all instances use
// together, and the latency of a function. It is pure: the inputs are readings and
// times.
package measure

import (
	"math"
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
)

// maxRate bounds a measured rate, in CPUs: the kernel's CPU clock may tick once
// within a working time of microseconds.
const maxRate = 4

// Meter divides the CPU time of an instance between its requests: equally among
// those in flight at each moment. Its inputs are the changes of their number, and
// Share and then a reading of the CPU time that the instance has used. The rate
// between two readings counts as constant, and the rate after the last reading as
// that before it.
//
//	request A runs for 2 s, request B during the second of them, 3 s used: the rate
//	is 1.5 CPUs, so A gets 1.5 + 0.75 s and B gets 0.75 s
type Meter struct {
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

// Begin records the end of the start of an instance, and its usage at that time.
func (m *Meter) Begin(now time.Time, u engine.Usage) { m.at, m.usage = now, u }

// Last returns the last reading; its Peak is the highest memory of all readings.
func (m *Meter) Last() engine.Usage { return m.usage }

// Rate returns the CPUs that were used between the last two readings.
func (m *Meter) Rate() float64 { return m.rate }

// to extends the sums to now. A time before the last one changes nothing: the clock
// is read before the fleet's mutex is taken, so times may arrive in the wrong order.
func (m *Meter) to(now time.Time) {
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

// Rest records that the instance is frozen from now on, or that it no longer is.
func (m *Meter) Rest(now time.Time, frozen bool) {
	m.to(now)
	m.rests = frozen
}

// Change adds by to the number of requests in flight.
func (m *Meter) Change(now time.Time, by int) {
	m.to(now)
	m.n += by
}

// Take records a reading. It ignores a reading that is older than the last one; two
// concurrent readings may arrive in the wrong order.
func (m *Meter) Take(now time.Time, u engine.Usage) {
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

// Share returns the reading of the meter at a time, for [Meter.Since].
func (m *Meter) Share(at time.Time) float64 {
	m.to(at)
	return m.share + m.rate*(m.part-m.read)
}

// Since returns the CPU time of a request that was in flight from the time at which
// the reading was share until now.
func (m *Meter) Since(share float64, now time.Time) time.Duration {
	return seconds(max(0, m.Share(now)-share))
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }
