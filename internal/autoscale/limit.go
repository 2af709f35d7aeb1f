package autoscale

import (
	"math"
	"time"
)

// The initial limit, and the parameters of its changes.
const (
	limitAtFirst = 16
	limitWindow  = 50 * time.Millisecond // shortest window of requests that are judged together
	limitSamples = 16                    // minimum number of requests in a window
	limitAge     = time.Second           // time after which a window with fewer requests is judged, too
	saturated    = 0.9                   // CPUs

	// bearable is the minimum of the additional time that a request may take because
	// of concurrent requests, even if alone it takes less than that.
	bearable = 10 * time.Millisecond
	// bearableDelay is the maximum average delay of an event loop that concurrent
	// requests may cause.
	bearableDelay = 20 * time.Millisecond
)

// Limit learns the number of concurrent requests that an instance of a function
// takes before they slow each other down. It grows by a quarter while instances are
// full and requests take at most twice as long as alone. It shrinks in proportion to
// how much longer they take. The duration is a weak signal for functions that wait
// for varying times or work on after the first byte. The delay of their event loop
// shows how much they compute at once, so it has a bound, too. The zero value is the
// initial limit. It is not safe for concurrent use.
//
//	waits for a database, 100 ms:  grows to the ceiling, since concurrency costs nothing
//	renders for 20 ms:             to 2, since the second one waits while the first runs
//	answers in 0.2 ms:             to some 50, since 50 of them wait for 10 ms
//	computes 50 ms between waits:  until its thread is busy half of the time
type Limit struct {
	now   float64 // current limit; 0 is the initial one
	alone float64 // seconds that a request takes without concurrent ones; 0 is unknown

	from        int64   // Unix nanoseconds at the beginning of the window; 0 is none
	took        float64 // sum of the durations of its requests, seconds
	concurrency float64 // sum of the concurrency at its requests
	samples     int32   // number of its requests
	load        float32
	ticks       float32
	late        float32 // sum of the delays of the event loop over all ticks, seconds
	cpu         float32 // CPU seconds of one request if other processes slowed the requests down; 0 if concurrent requests did
	full        bool
}

// Answered describes a request that was answered.
type Answered struct {
	At      time.Time
	Took    time.Duration // to the first byte of the response
	Company int           // highest known concurrency in its instance meanwhile, including itself
	Full    bool          // Company was the limit of the instance
	Load    float64       // recent use of its instance, in CPUs; 0 is unknown

	// Hindered is true if other processes kept the request from the CPUs. CPU is the
	// CPU time of such a request; 0 is unknown.
	Hindered bool
	CPU      time.Duration
}

// At returns the limit, between 1 and a ceiling.
func (l *Limit) At(ceiling int) int {
	if l.now == 0 {
		return max(1, min(limitAtFirst, ceiling))
	}
	return max(1, min(int(l.now), ceiling))
}

// Observe learns from a request that was answered under a ceiling.
func (l *Limit) Observe(a Answered, ceiling int) {
	now, took := a.At.UnixNano(), a.Took.Seconds()
	if a.Company <= 1 {
		l.alone = approach(l.alone, took, 1.0/4, 1.0/16)
	}
	if l.from == 0 || now < l.from {
		l.from = now
	}
	l.samples++
	l.took += took
	l.concurrency += float64(a.Company)
	l.load = max(l.load, float32(a.Load))
	l.full = l.full || a.Full
	if a.Hindered && a.CPU > 0 {
		l.cpu = float32(a.CPU.Seconds())
	}
	if age := time.Duration(now - l.from); age < limitWindow || l.samples < limitSamples && age < limitAge {
		return
	}
	l.judge(l.took/float64(l.samples), l.concurrency/float64(l.samples), float64(max(1, ceiling)))
	*l = Limit{now: l.now, alone: l.alone}
}

// Delayed learns from the event loop of an instance with requests: late is the sum
// of its delays over ticks timers. Impossible values are ignored.
func (l *Limit) Delayed(ticks float64, late time.Duration) {
	if ticks > 0 && late >= 0 {
		l.ticks += float32(min(ticks, 1e6))
		l.late += float32(late.Seconds())
	}
}

// allowed returns the seconds that a request may take together with concurrent ones.
func (l *Limit) allowed() float64 { return l.alone + max(l.alone, bearable.Seconds()) }

// judge updates the limit from the averages of a window.
func (l *Limit) judge(took, concurrency, ceiling float64) {
	if l.now == 0 {
		l.now = min(limitAtFirst, ceiling)
	}
	if l.alone == 0 {
		l.alone = took
		if l.load >= saturated {
			l.alone = took / concurrency // they ran one after the other
		}
	}
	allowed := l.allowed()
	ratio := took / allowed
	if l.ticks > 0 {
		if late := float64(l.late/l.ticks) / bearableDelay.Seconds(); late > ratio {
			ratio, allowed = late, bearableDelay.Seconds()
		}
	}
	switch {
	case ratio > 1 && concurrency >= 1.5:
		least := 0.0
		if l.cpu > 0 {
			least = allowed / float64(l.cpu) // fewer concurrent requests cannot take that long because of each other
		}
		lower := min(l.now, math.Ceil(concurrency)) * max(0.5, min(0.9, 1/ratio))
		l.now = max(1, lower, min(l.now, least))
	case ratio <= 1 && l.full:
		l.now = min(ceiling, l.now+max(1, l.now/4))
	}
}

// approach moves a mean towards value by the factor down or up; the first value
// becomes the mean.
func approach(mean, value, down, up float64) float64 {
	switch {
	case mean == 0:
		return value
	case value < mean:
		return mean + (value-mean)*down
	}
	return mean + (value-mean)*up
}
