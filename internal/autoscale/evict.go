package autoscale

import (
	"cmp"
	"slices"
	"time"
)

// Resident is an idle instance that could be stopped for its memory.
type Resident struct {
	Priority float64   // see [Priority]
	Memory   int64     // bytes that its stop frees; never negative
	Since    time.Time // beginning of its idle time
}

// Priority returns the greedy-dual priority of an instance, at its last arrival or
// at its prewarm: the recent number of requests of its function ([History.Uses])
// times the cost of a new instance, divided by its memory, plus the clock of that
// moment. The clock is 0 at first and rises to the priority of each instance that
// [Evict] selects. So instances in use overtake an instance that gets no further
// requests, however costly that one is.
//
//	clock 0, 12 uses, Start 100 ms, 128 MiB: 0 + 12·0.1/128 = 0.0094
//	clock 0,  1 use,  Start 2 s,    256 MiB: 0 +  1·2/256   = 0.0078: evicted first
func Priority(clock, uses float64, c Costs) float64 {
	c = c.withDefaults()
	return clock + max(0, uses)*c.Start.Seconds()/(float64(c.Memory)/(1<<20))
}

// Evict selects the residents to stop so that need bytes become free: those of the
// lowest priority, of equal ones the one that has been idle longest. It leaves out
// residents that the others make unnecessary. It returns their indexes in rising
// order and the new clock. If all residents together do not suffice, it selects
// none, and ok is false. The caller should not prewarm an evicted function within
// the same pause, or its instances would come and go.
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
