package autoscale

import (
	"cmp"
	"slices"
	"time"
)

// Resident is an instance that rests and could be stopped for its memory.
type Resident struct {
	Priority float64   // see [Priority]
	Memory   int64     // bytes it gives back; never negative
	Since    time.Time // when it came to rest
}

// Priority is the greedy-dual rank of an instance, as of its last arrival or of
// its start ahead of one: how often its function was asked of late
// ([History.Uses]), times what a new one would cost, by what it holds, above
// the clock of that moment. The clock is 0 at first and rises to the priority
// of what [Evict] takes, so that one that is never asked again is overtaken by
// those that are, however dear it is.
//
//	clock 0, 12 uses, Start 100 ms, 128 MiB: 0 + 12·0.1/128 = 0.0094
//	clock 0,  1 use,  Start 2 s,    256 MiB: 0 +  1·2/256   = 0.0078: goes first
func Priority(clock, uses float64, c Costs) float64 {
	c = c.withDefaults()
	return clock + max(0, uses)*c.Start.Seconds()/(float64(c.Memory)/(1<<20))
}

// Evict chooses which residents to stop so that need bytes become free: those
// of the lowest priority, of equal ones the one that rested longest, and of
// those none that the others make unnecessary. It returns their indexes in
// rising order and what the clock is then. If all of them do not suffice it
// chooses none, and ok is false. What was evicted is not to be started ahead in
// the same pause, or it would come and go.
func Evict(residents []Resident, need int64, clock float64) (stop []int, next float64, ok bool) {
	order := make([]int, len(residents))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(residents[a].Priority, residents[b].Priority),
			residents[a].Since.Compare(residents[b].Since),
		)
	})
	var freed int64
	taken := 0
	for taken < len(order) && freed < need {
		freed += residents[order[taken]].Memory
		taken++
	}
	if freed < need {
		return nil, clock, false
	}
	for _, i := range slices.Backward(order[:taken]) {
		if r := residents[i]; freed-r.Memory >= need {
			freed -= r.Memory
			continue
		}
		stop, clock = append(stop, i), max(clock, residents[i].Priority)
	}
	slices.Sort(stop)
	return stop, clock, true
}
