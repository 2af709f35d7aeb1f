package autoscale

import (
	"math"
	"time"
)

// What is believed of a function nobody knows, and how a limit moves.
const (
	limitAtFirst  = 16
	limitWindow   = 50 * time.Millisecond // of requests that are judged together
	limitSamples  = 16                    // that a window has at least
	limitPatience = time.Second           // after which it has enough, whatever it has
	saturated     = 0.9                   // of a processor

	// bearable is how much longer than alone a request may take for the company
	// it has, even where alone it takes less than that.
	bearable = 10 * time.Millisecond
	// bearableDelay is how late an event loop may be on average for the company
	// that its requests have.
	bearableDelay = 20 * time.Millisecond
)

// Limit learns how many requests at once an instance of a function takes before
// they wait for one another inside it, where nothing can be done for them: it
// grows by a quarter while instances are full and requests take what they take
// alone, or up to twice that, and shrinks in proportion to how much longer they
// take. What they take says little of functions that wait now long, now short, or
// that go on behind their first byte; how late their event loop is says how much
// they compute at once, and that has a bound, too. The zero value knows nothing. It is not safe for concurrent use.
//
//	waits for a database, 100 ms:  grows to the ceiling, for company costs nothing
//	renders for 20 ms:             to 2, for the second one waits as long as it runs
//	answers in 0.2 ms:             to some 50, for 50 of them wait for 10 ms
//	computes 50 ms between waits:  until its thread is busy half of the time
type Limit struct {
	now   float64 // 0 is not begun
	alone float64 // seconds that a request takes without company; 0 is not known

	from    int64   // Unix nanoseconds when the window began; 0 is none
	took    float64 // the times of its requests, seconds
	crowd   float64 // how many they were, each time
	samples int32   // requests
	load    float32
	ticks   float32
	late    float32 // how late their event loop was, seconds, all ticks together
	cpu     float32 // seconds of processors that one uses, as what held them up was not company; 0: it was
	full    bool
}

// Answered is a request that was answered.
type Answered struct {
	At      time.Time
	Took    time.Duration // to the first byte of the response
	Company int           // the most requests that its instance had meanwhile, as far as known, itself among them
	Full    bool          // that was all its instance takes
	Load    float64       // processors that its instance used of late; 0 is not known

	// Hindered says that others kept it from the processors, and CPU how much
	// time of them one such request uses; 0 is not known.
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

// Observe learns from a request that was answered, under a ceiling.
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
	l.crowd += float64(a.Company)
	l.load = max(l.load, float32(a.Load))
	l.full = l.full || a.Full
	if a.Hindered && a.CPU > 0 {
		l.cpu = float32(a.CPU.Seconds())
	}
	if age := time.Duration(now - l.from); age < limitWindow || l.samples < limitSamples && age < limitPatience {
		return
	}
	l.judge(l.took/float64(l.samples), l.crowd/float64(l.samples), float64(max(1, ceiling)))
	*l = Limit{now: l.now, alone: l.alone}
}

// Delayed learns how late an event loop was of an instance with requests: so many
// times somebody looked, so late it was together. What makes no sense is ignored.
func (l *Limit) Delayed(ticks float64, late time.Duration) {
	if ticks > 0 && late >= 0 {
		l.ticks += float32(min(ticks, 1e6))
		l.late += float32(late.Seconds())
	}
}

// allowed is how many seconds a request may take in company.
func (l *Limit) allowed() float64 { return l.alone + max(l.alone, bearable.Seconds()) }

// judge draws the conclusion from a window of requests.
func (l *Limit) judge(took, crowd, ceiling float64) {
	if l.now == 0 {
		l.now = min(limitAtFirst, ceiling)
	}
	if l.alone == 0 {
		l.alone = took
		if l.load >= saturated {
			l.alone = took / crowd // they took turns
		}
	}
	allowed := l.allowed()
	strain := took / allowed
	if l.ticks > 0 {
		if late := float64(l.late/l.ticks) / bearableDelay.Seconds(); late > strain {
			strain, allowed = late, bearableDelay.Seconds()
		}
	}
	switch {
	case strain > 1 && crowd >= 1.5:
		least := 0.0
		if l.cpu > 0 {
			least = allowed / float64(l.cpu) // so many do not take longer because of each other
		}
		lower := min(l.now, math.Ceil(crowd)) * max(0.5, min(0.9, 1/strain))
		l.now = max(1, lower, min(l.now, least))
	case strain <= 1 && l.full:
		l.now = min(ceiling, l.now+max(1, l.now/4))
	}
}

// approach moves a mean towards a value, faster down than up, and starts there.
func approach(mean, value, down, up float64) float64 {
	switch {
	case mean == 0:
		return value
	case value < mean:
		return mean + (value-mean)*down
	}
	return mean + (value-mean)*up
}
