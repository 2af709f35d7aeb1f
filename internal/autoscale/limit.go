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
)

// Limit learns how many requests at once an instance of a function takes before
// they wait for one another inside it, where nothing can be done for them: it
// grows by a quarter while instances are full and requests take what they take
// alone, or up to twice that, and shrinks in proportion to how much longer they
// take. The zero value knows nothing. It is not safe for concurrent use.
//
//	waits for a database, 100 ms:  grows to the ceiling, for company costs nothing
//	renders for 20 ms:             to 2, for the second one waits as long as it runs
//	answers in 0.2 ms:             to some 50, for 50 of them wait for 10 ms
type Limit struct {
	now   float64 // 0 is not begun
	alone float64 // seconds that a request takes without company; 0 is not known

	from    int64 // Unix nanoseconds when the window began; 0 is none
	samples int
	took    float64 // their times, seconds
	crowd   float64 // how many they were, each time
	load    float64
	full    bool
	least   float64 // what the limit is not to fall below, for what held them up was not company
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
	l.load = max(l.load, a.Load)
	l.full = l.full || a.Full
	if a.Hindered && a.CPU > 0 {
		l.least = l.allowed() / a.CPU.Seconds()
	}
	if age := time.Duration(now - l.from); age < limitWindow || l.samples < limitSamples && age < limitPatience {
		return
	}
	l.judge(l.took/float64(l.samples), l.crowd/float64(l.samples), float64(max(1, ceiling)))
	l.from, l.samples, l.took, l.crowd, l.load, l.full, l.least = 0, 0, 0, 0, 0, false, 0
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
	switch {
	case took > allowed && crowd >= 1.5:
		lower := min(l.now, math.Ceil(crowd)) * max(0.5, min(0.9, allowed/took))
		l.now = max(1, lower, min(l.now, l.least))
	case took <= allowed && l.full:
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
