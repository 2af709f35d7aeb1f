package autoscale

import (
	"math"
	"time"
)

// The prior probabilities for the end of a pause. Without data, a pause ends within
// the next octave with a probability of 0.3, at any length; so it ends within the
// next quarter of an octave with 1-0.7^(1/4). If other quarters of the octave have
// data, their frequency replaces that, up to one in four: an overdue pause may well
// be permanent. The prior has the weight of one observed pause.
const (
	usual   = 0.0853
	overdue = 0.25
	belief  = 1.0
)

// Plan tells the caller how to proceed during a pause of a function. It is valid
// until the next arrival, or until all its times have passed.
type Plan struct {
	KeepUntil time.Time // end of the time for which the idle instance is kept; never before the time of planning

	// Between KeepUntil and PrewarmAt there is no instance. At PrewarmAt one is
	// started for a likely arrival, and it is kept until PrewarmUntil. Then
	// [Policy.Prewarm] makes the next plan. Both are zero if no arrival is likely.
	PrewarmAt, PrewarmUntil time.Time
}

// Keep makes a plan for a function whose instance has become idle. It takes
// microseconds, so it should not be called between the requests of a busy function.
func (p Policy) Keep(h *History, now time.Time, c Costs) Plan {
	p, c = p.withDefaults(), c.withDefaults()
	var fc forecast
	fc.computeCosts(p, h, now, c)
	kept := 0
	for kept < fc.n && fc.intervals[kept].holding <= 0 {
		kept++
	}
	until := later(now.Add(p.Least), fc.end(kept))
	for {
		w, ok := fc.window(kept)
		if !ok || w.from.After(until) {
			return Plan{KeepUntil: until, PrewarmAt: w.from, PrewarmUntil: w.until}
		}
		until, kept = later(until, w.until), w.next // the instance would stop and start again at once
	}
}

// Prewarm makes a plan for a function without an instance: KeepUntil is now, and if
// an arrival is likely by now, PrewarmAt is now, too.
func (p Policy) Prewarm(h *History, now time.Time, c Costs) Plan {
	p, c = p.withDefaults(), c.withDefaults()
	var fc forecast
	fc.computeCosts(p, h, now, c)
	w, ok := fc.window(0)
	if !ok {
		return Plan{KeepUntil: now}
	}
	return Plan{KeepUntil: now, PrewarmAt: later(now, w.from), PrewarmUntil: w.until}
}

// forecast is the future of a pause as a sequence of intervals.
type forecast struct {
	last         time.Time     // arrival at the beginning of the pause
	most         time.Duration // time after last from which no instance is kept
	lead         time.Duration // time by which a start precedes its need
	prewarmPrice float64       // price of a start for which no request waits, in seconds of holding an instance
	n            int
	intervals    [3 * bins]interval
}

// interval is a part of a pause with one optimal action.
type interval struct {
	from, to float64 // seconds into the pause
	ends     float64 // probability that the pause, once it has reached from, ends before to

	// holding is the additional cost of having an instance from here on, compared to
	// having none, in seconds of holding. An instance is kept if it is below zero,
	// and started if it is below the negative price of a prewarm.
	holding float64
}

// computeCosts computes the costs of each interval, from the last one back:
//
//	holding(i) = width·(1-ends/2) - ends·price + (1-ends)·holding(i+1)
//
// The first term is the time of holding the instance, half the width if the pause
// ends in the interval. The second is the start that is saved if it does, and the
// third the future if it does not. The future counts at most 0, since the instance
// can be stopped, and at least -prewarmPrice, since one can be started. An example
// with two pauses of an hour, the default price (1200 s) and prewarmPrice (300 s):
//
//	57:31 to 62:30  299·(1-0.726/2) - 0.726·1200 + 0            = -681: one is started
//	54:59 to 57:31  152·(1-0.023/2) - 0.023·1200 - 0.977·300    = -170: kept, if there is one
//	45:49 to 54:59  550·(1-0.084/2) - 0.084·1200 - 0.916·170    =  270: stopped
func (fc *forecast) computeCosts(p Policy, h *History, now time.Time, c Costs) {
	fc.last, fc.most, fc.lead = now, p.Most, 2*c.Start
	if h.last != 0 && h.last < now.UnixNano() {
		fc.last = now.Add(-time.Duration(now.UnixNano() - h.last))
	}
	fc.layOut(h)
	fc.skip(now.Sub(fc.last).Seconds())
	price, rest := p.price(c), 0.0
	fc.prewarmPrice = p.Ahead * price
	for i := fc.n - 1; i >= 0; i-- {
		s := &fc.intervals[i]
		s.holding = (s.to-s.from)*(1-s.ends/2) - s.ends*price + (1-s.ends)*rest
		rest = max(-fc.prewarmPrice, min(0, s.holding))
	}
}

// layOut computes the intervals of a whole pause.
func (fc *forecast) layOut(h *History) {
	for first := 0; first < bins; first += quarters {
		var reached, ended float64
		for b := first; b < first+quarters; b++ {
			reached += float64(h.reached[b]) / one
			ended += float64(h.ended[b]) / one
		}
		local := min(overdue, (ended+belief*usual)/(reached+belief))
		for b := first; b < first+quarters; b++ {
			fc.layOutBin(h, b, local)
		}
	}
}

// layOutBin computes the intervals of a bin. The next pause probably ends near the
// positions of earlier ends. The margin around them is half a bin after one such
// pause, a quarter after two, and so on. Everywhere in the bin, a pause ends with
// the probability of this octave.
func (fc *forecast) layOutBin(h *History, b int, local float64) {
	start, width := bounds(b)
	reached, ended := float64(h.reached[b])/one, float64(h.ended[b])/one
	anywhere := belief * local / (reached + belief)
	if h.ended[b] == 0 {
		fc.add(start, start+width, anywhere)
		return
	}
	margin := 0.5/ended + 1.0/64
	low := max(0, float64(h.low[b])/256-margin)
	high := min(1, float64(h.high[b]+1)/256+margin)
	before, within, after := anywhere*low, ended/(reached+belief)+anywhere*(high-low), anywhere*(1-high)
	fc.add(start, start+low*width, before)
	fc.add(start+low*width, start+high*width, within/(1-before))
	fc.add(start+high*width, start+width, after/(1-before-within))
}

// add appends an interval, unless it has no width.
func (fc *forecast) add(from, to, ends float64) {
	if from >= to {
		return
	}
	fc.intervals[fc.n] = interval{from: from, to: to, ends: max(0, min(1, ends))}
	fc.n++
}

// skip drops the elapsed part. Of a partly elapsed interval it keeps the remainder,
// with the probability that the pause ends there, given that it has not ended yet.
func (fc *forecast) skip(elapsed float64) {
	i := 0
	for i < fc.n && fc.intervals[i].to <= elapsed {
		i++
	}
	fc.n = copy(fc.intervals[:], fc.intervals[i:fc.n])
	if fc.n == 0 || fc.intervals[0].from >= elapsed {
		return
	}
	s := &fc.intervals[0]
	left := (s.to - elapsed) / (s.to - s.from)
	s.ends = s.ends * left / (1 - s.ends*(1-left))
	s.from = elapsed
}

// window is a time for which an instance is prewarmed.
type window struct {
	from, until time.Time
	next        int // the first interval after it
}

// window returns the first window at or after interval i, if there is one.
func (fc *forecast) window(i int) (window, bool) {
	for i < fc.n && fc.intervals[i].holding >= -fc.prewarmPrice {
		i++
	}
	if i == fc.n || fc.intervals[i].from >= fc.most.Seconds() {
		return window{}, false
	}
	w := window{from: fc.at(fc.intervals[i].from).Add(-fc.lead), next: i + 1}
	for w.next < fc.n && fc.intervals[w.next].holding <= 0 {
		w.next++
	}
	w.until = fc.end(w.next)
	return w, true
}

// end returns the end of the first n intervals.
func (fc *forecast) end(n int) time.Time {
	if n == 0 {
		return fc.last
	}
	return fc.at(min(fc.intervals[n-1].to, fc.most.Seconds()))
}

// at returns the time that many seconds into the pause.
func (fc *forecast) at(seconds float64) time.Time {
	return fc.last.Add(time.Duration(math.Round(seconds * float64(time.Second))))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
