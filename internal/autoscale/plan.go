package autoscale

import (
	"math"
	"time"
)

// What is believed of a pause before anything is known: wherever it has got to,
// it ends within the next octave with a probability of 0.3. So a quarter of an
// octave sees 1-0.7^(1/4) of those that reach it end. Where other quarters of
// the octave are known, as many as in them are believed to end in this one; but
// no more than one in four, for what is overdue may as well be over. One belief
// counts as much as one pause that was seen.
const (
	usual   = 0.0853
	overdue = 0.25
	belief  = 1.0
)

// Plan says what to do while a function pauses. It holds until the next
// arrival, or until all its times have passed.
type Plan struct {
	KeepUntil time.Time // the instance that rests is kept until then; never before the time of planning

	// Then there is none, until one is started for an arrival that is likely.
	// It is kept until PrewarmUntil, and what follows is [Policy.Prewarm]'s to
	// say. Both are zero if there is no such time.
	PrewarmAt, PrewarmUntil time.Time
}

// Keep plans for a function whose instance came to rest. It takes microseconds:
// not to be asked between the requests of a busy one.
func (p Policy) Keep(h *History, now time.Time, c Costs) Plan {
	p, c = p.withDefaults(), c.withDefaults()
	var o outlook
	o.draw(p, h, now, c)
	kept := 0
	for kept < o.n && o.stretches[kept].holding <= 0 {
		kept++
	}
	until := later(now.Add(p.Least), o.end(kept))
	for {
		w, ok := o.window(kept)
		if !ok || w.from.After(until) {
			return Plan{KeepUntil: until, PrewarmAt: w.from, PrewarmUntil: w.until}
		}
		until, kept = later(until, w.until), w.next // there is no time to be without
	}
}

// Prewarm plans for a function that has no instance: KeepUntil is now, and an
// arrival that is likely by now has one started at once.
func (p Policy) Prewarm(h *History, now time.Time, c Costs) Plan {
	p, c = p.withDefaults(), c.withDefaults()
	var o outlook
	o.draw(p, h, now, c)
	w, ok := o.window(0)
	if !ok {
		return Plan{KeepUntil: now}
	}
	return Plan{KeepUntil: now, PrewarmAt: later(now, w.from), PrewarmUntil: w.until}
}

// outlook is a pause's future as a chain of stretches of time.
type outlook struct {
	last      time.Time     // the arrival the pause began with
	most      time.Duration // after it nothing is held
	lead      time.Duration // how long before it is needed an instance is started
	ahead     float64       // price of a start nobody waits for, in seconds of holding
	n         int
	stretches [3 * bins]stretch
}

// stretch is a part of a pause in which one thing is best.
type stretch struct {
	from, to float64 // seconds into the pause
	ends     float64 // probability that the pause, having got to from, ends before to

	// holding is what it costs more, from here on, to have an instance than to
	// have none, in seconds of holding. Below zero one is kept; below the price
	// of starting one ahead, one is started.
	holding float64
}

// draw works out what is best in each stretch from the last one back:
//
//	holding(i) = width·(1-ends/2) - ends·price + (1-ends)·holding(i+1)
//
// that is, the time held, half the stretch if the pause ends in it; less the
// start that is spared if it does; and the rest if it does not. The rest is at
// most 0, for the instance can be stopped, and at least -ahead, for one can be
// started. Worked, for two pauses of an hour, the default price of 1200 s and
// 300 s ahead:
//
//	57:31 to 62:30  299·(1-0.726/2) - 0.726·1200 + 0            = -681: one is started
//	54:59 to 57:31  152·(1-0.023/2) - 0.023·1200 - 0.977·300    = -170: kept, if one is there
//	45:49 to 54:59  550·(1-0.084/2) - 0.084·1200 - 0.916·170    =  270: stopped
func (o *outlook) draw(p Policy, h *History, now time.Time, c Costs) {
	o.last, o.most, o.lead = now, p.Most, 2*c.Start
	if h.last != 0 && h.last < now.UnixNano() {
		o.last = now.Add(-time.Duration(now.UnixNano() - h.last))
	}
	o.chart(h)
	o.skip(now.Sub(o.last).Seconds())
	price, rest := p.price(c), 0.0
	o.ahead = p.Ahead * price
	for i := o.n - 1; i >= 0; i-- {
		s := &o.stretches[i]
		s.holding = (s.to-s.from)*(1-s.ends/2) - s.ends*price + (1-s.ends)*rest
		rest = max(-o.ahead, min(0, s.holding))
	}
}

// chart lays out the stretches of a whole pause.
func (o *outlook) chart(h *History) {
	for first := 0; first < bins; first += quarters {
		var reached, ended float64
		for b := first; b < first+quarters; b++ {
			reached += float64(h.reached[b]) / one
			ended += float64(h.ended[b]) / one
		}
		local := min(overdue, (ended+belief*usual)/(reached+belief))
		for b := first; b < first+quarters; b++ {
			o.bin(h, b, local)
		}
	}
}

// bin lays out a bin's stretches. Where pauses ended before, around the places
// they ended at, the next will; the margin is half a bin after one such pause,
// a quarter after two, and so on. Everywhere in the bin it may end as it does
// in this octave at large.
func (o *outlook) bin(h *History, b int, local float64) {
	start, width := bounds(b)
	reached, ended := float64(h.reached[b])/one, float64(h.ended[b])/one
	anywhere := belief * local / (reached + belief)
	if h.ended[b] == 0 {
		o.add(start, start+width, anywhere)
		return
	}
	margin := 0.5/ended + 1.0/64
	low := max(0, float64(h.low[b])/256-margin)
	high := min(1, float64(h.high[b]+1)/256+margin)
	before, within, after := anywhere*low, ended/(reached+belief)+anywhere*(high-low), anywhere*(1-high)
	o.add(start, start+low*width, before)
	o.add(start+low*width, start+high*width, within/(1-before))
	o.add(start+high*width, start+width, after/(1-before-within))
}

// add appends a stretch, unless it has no width.
func (o *outlook) add(from, to, ends float64) {
	if from >= to {
		return
	}
	o.stretches[o.n] = stretch{from: from, to: to, ends: max(0, min(1, ends))}
	o.n++
}

// skip drops what has passed. Of a stretch that is under way the rest remains,
// and with it the chance that the pause ends there, given that it did not yet.
func (o *outlook) skip(elapsed float64) {
	i := 0
	for i < o.n && o.stretches[i].to <= elapsed {
		i++
	}
	o.n = copy(o.stretches[:], o.stretches[i:o.n])
	if o.n == 0 || o.stretches[0].from >= elapsed {
		return
	}
	s := &o.stretches[0]
	left := (s.to - elapsed) / (s.to - s.from)
	s.ends = s.ends * left / (1 - s.ends*(1-left))
	s.from = elapsed
}

// window is a time for which an instance is started ahead.
type window struct {
	from, until time.Time
	next        int // the first stretch after it
}

// window returns the first window at or after stretch i, if there is one.
func (o *outlook) window(i int) (window, bool) {
	for i < o.n && o.stretches[i].holding >= -o.ahead {
		i++
	}
	if i == o.n || o.stretches[i].from >= o.most.Seconds() {
		return window{}, false
	}
	w := window{from: o.at(o.stretches[i].from).Add(-o.lead), next: i + 1}
	for w.next < o.n && o.stretches[w.next].holding <= 0 {
		w.next++
	}
	w.until = o.end(w.next)
	return w, true
}

// end returns when the first n of the coming stretches are over.
func (o *outlook) end(n int) time.Time {
	if n == 0 {
		return o.last
	}
	return o.at(min(o.stretches[n-1].to, o.most.Seconds()))
}

// at returns the time so many seconds into the pause.
func (o *outlook) at(seconds float64) time.Time {
	return o.last.Add(time.Duration(math.Round(seconds * float64(time.Second))))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
