package pool

import (
	"math"
	"time"
)

const (
	peakHalves  = 15 * time.Minute // the most there was to make up for counts half
	headroom    = 1.25             // no burst is like the last
	forgetAfter = 24 * time.Hour   // without a claim nobody uses a runtime
)

// demand is what is known of the claims on a pool: how far they have been ahead
// of its refills. A pool of that size would have met them all.
type demand struct {
	last  time.Time // of the claims; zero: there was none
	since time.Time // when the debt began
	debt  float64   // claims that no refill can have made up for, at last
	peak  float64   // the most that has been, faded, at last
}

// claim counts one at a time when a refill takes each.
func (d *demand) claim(now time.Time, each time.Duration) {
	d.debt = d.owed(now, each)
	if d.debt == 0 {
		d.since = now
	}
	d.debt++
	d.peak = max(d.faded(now), d.debt)
	d.last = now
}

// owed is what of the debt refills cannot have made up for by now. They wait
// for quiet, but not for ever.
func (d *demand) owed(now time.Time, each time.Duration) float64 {
	begin := d.last.Add(QuietAfter)
	if latest := d.since.Add(Patience); latest.Before(begin) {
		begin = latest
	}
	if begin.Before(d.last) {
		begin = d.last
	}
	return max(0, d.debt-max(0, now.Sub(begin).Seconds())/each.Seconds())
}

func (d *demand) faded(now time.Time) float64 {
	return d.peak * math.Exp2(-max(0, now.Sub(d.last).Seconds())/peakHalves.Seconds())
}

// size is how many blank processes meet the demand: at least the floor, unless
// nobody has claimed one for long. A floor of 0 keeps none.
func (d *demand) size(now time.Time, floor int) int {
	if floor <= 0 || d.last.IsZero() || now.Sub(d.last) > forgetAfter {
		return 0
	}
	return max(floor, int(math.Ceil(d.faded(now)*headroom)))
}

// wish is how many blank processes a pool should have, were memory no matter.
type wish struct {
	floor, size int
	each        int64 // bytes of one
}

// within returns the sizes of pools that wish for so much and may use a budget
// of memory. All have their floors, and the same part of what is above them.
func within(budget int64, wishes []wish) []int {
	var extra int64
	for _, w := range wishes {
		budget -= int64(min(w.floor, w.size)) * w.each
		extra += int64(max(w.size-w.floor, 0)) * w.each
	}
	budget = max(budget, 0)
	part := 1.0
	if extra > budget {
		part = float64(budget) / float64(extra)
	}
	sizes := make([]int, len(wishes))
	for i, w := range wishes {
		sizes[i] = min(w.floor, w.size) + int(part*float64(max(w.size-w.floor, 0)))
	}
	return sizes
}

// refills says how many processes to boot at once for a pool: one after the
// other, so that they take little from those that work, but one on each
// processor once less than half is left.
func refills(ready, size, processors int) int {
	switch {
	case ready >= size:
		return 0
	case 2*ready < size:
		return min(size-ready, processors)
	default:
		return 1
	}
}
