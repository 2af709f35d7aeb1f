package pool

import (
	"math"
	"time"
)

const (
	peakHalves  = 15 * time.Minute // half-life of the peak
	headroom    = 1.25             // factor on the peak, since bursts vary
	forgetAfter = 24 * time.Hour   // time without claims after which a runtime is not in use
)

// demand measures the claims on a pool: the backlog of claims that refills have not
// replaced yet. A pool as large as the peak backlog would have served every claim at
// once.
type demand struct {
	last    time.Time // time of the last claim; zero: no claim so far
	since   time.Time // time at which the backlog began
	backlog float64   // backlog at the last claim: claims that refills cannot have replaced
	peak    float64   // maximum backlog, decayed to the last claim
}

// claim records a claim, with each as the duration of a refill.
func (d *demand) claim(now time.Time, each time.Duration) {
	d.backlog = d.backlogAt(now, each)
	if d.backlog == 0 {
		d.since = now
	}
	d.backlog++
	d.peak = max(d.faded(now), d.backlog)
	d.last = now
}

// backlogAt returns the part of the backlog that refills cannot have replaced by now.
// Refills wait for the end of a burst, up to [MaxBurstWait].
func (d *demand) backlogAt(now time.Time, each time.Duration) float64 {
	begin := d.last.Add(QuietAfter)
	if latest := d.since.Add(MaxBurstWait); latest.Before(begin) {
		begin = latest
	}
	if begin.Before(d.last) {
		begin = d.last
	}
	return max(0, d.backlog-max(0, now.Sub(begin).Seconds())/each.Seconds())
}

func (d *demand) faded(now time.Time) float64 {
	return d.peak * math.Exp2(-max(0, now.Sub(d.last).Seconds())/peakHalves.Seconds())
}

// size returns the number of blank processes that the demand requires: at least the
// floor, unless the last claim is older than [forgetAfter]. A floor of 0 requires none.
func (d *demand) size(now time.Time, floor int) int {
	if floor <= 0 || d.last.IsZero() || now.Sub(d.last) > forgetAfter {
		return 0
	}
	return max(floor, int(math.Ceil(d.faded(now)*headroom)))
}

// wish is the wanted size of a pool without a bound on memory.
type wish struct {
	floor, size int
	each        int64 // bytes of one process
}

// within returns the sizes of pools for a memory budget. Each pool gets its floor, and
// all get the same fraction of their wishes above it.
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

// refills returns the number of concurrent boots for a pool: one, which takes little
// CPU time from running functions, but one on each processor while less than half of
// the pool is ready.
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
