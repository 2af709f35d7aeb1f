package autoscale_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

const mib = 1 << 20

func TestEvictSelectsTheLowestPriority(t *testing.T) {
	rested := func(minutesAgo int) time.Time { return epoch.Add(-time.Duration(minutesAgo) * time.Minute) }
	for _, tt := range []struct {
		name      string
		residents []autoscale.Resident
		need      int64
		stop      []int
		clock     float64
		short     bool
	}{
		{name: "no need", residents: []autoscale.Resident{{1, 100, rested(1)}}, need: 0, clock: 0.5},
		{name: "no residents", need: 1, clock: 0.5, short: true},
		{
			name:      "the lowest priority",
			residents: []autoscale.Resident{{3, 100, rested(9)}, {1, 100, rested(1)}, {2, 100, rested(5)}},
			need:      100, stop: []int{1}, clock: 1,
		},
		{
			name:      "several, in rising order",
			residents: []autoscale.Resident{{3, 100, rested(9)}, {2, 100, rested(1)}, {1, 100, rested(5)}},
			need:      101, stop: []int{1, 2}, clock: 2,
		},
		{
			name:      "of equals the one that has been idle longest",
			residents: []autoscale.Resident{{1, 100, rested(1)}, {1, 100, rested(9)}, {1, 100, rested(5)}},
			need:      100, stop: []int{1}, clock: 1,
		},
		{
			name:      "none that a later one makes unnecessary",
			residents: []autoscale.Resident{{1, 10, rested(1)}, {2, 20, rested(1)}, {3, 100, rested(1)}},
			need:      100, stop: []int{2}, clock: 3,
		},
		{
			name:      "none without memory",
			residents: []autoscale.Resident{{1, 0, rested(1)}, {2, 100, rested(1)}},
			need:      100, stop: []int{1}, clock: 2,
		},
		{
			name:      "none, if all do not suffice",
			residents: []autoscale.Resident{{1, 100, rested(1)}, {2, 100, rested(1)}},
			need:      201, clock: 0.5, short: true,
		},
		{
			name:      "the clock does not go back",
			residents: []autoscale.Resident{{0.25, 100, rested(1)}},
			need:      1, stop: []int{0}, clock: 0.5,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.residents)
			stop, clock, ok := autoscale.Evict(tt.residents, tt.need, 0.5)
			if diff := cmp.Diff(tt.stop, stop); diff != "" {
				t.Errorf("stopped (-want +got):\n%s", diff)
			}
			if ok == tt.short || clock != tt.clock {
				t.Errorf("clock %v and %t, want %v and %t", clock, ok, tt.clock, !tt.short)
			}
			if diff := cmp.Diff(before, tt.residents); diff != "" {
				t.Errorf("the residents changed:\n%s", diff)
			}
		})
	}
}

func TestEvictFreesEnoughWithoutUnnecessaryStops(t *testing.T) {
	chance := rand.New(rand.NewPCG(7, 7))
	for range 3_000 {
		var residents []autoscale.Resident
		for range chance.IntN(30) {
			residents = append(residents, autoscale.Resident{
				Priority: float64(chance.IntN(8)), Memory: chance.Int64N(200), Since: epoch.Add(-time.Duration(chance.IntN(5)) * time.Minute),
			})
		}
		need := chance.Int64N(2_000)
		stop, _, ok := autoscale.Evict(residents, need, 0)
		var freed, all int64
		for _, i := range stop {
			freed += residents[i].Memory
		}
		for _, r := range residents {
			all += r.Memory
		}
		if ok != (all >= need) || ok && freed < need {
			t.Fatalf("%d of %d freed, need %d: %t", freed, all, need, ok)
		}
		for _, i := range stop {
			if freed-residents[i].Memory >= need {
				t.Fatalf("the stop of %d is unnecessary: %d freed, need %d", residents[i].Memory, freed, need)
			}
		}
		if again, _, _ := autoscale.Evict(residents, need, 0); !slices.Equal(again, stop) {
			t.Fatalf("chose %v, then %v", stop, again)
		}
	}
}

func TestPriorityIsUsesTimesStartBySize(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name        string
		clock, uses float64
		costs       autoscale.Costs
		want        float64
	}{
		{"frequent requests, fast start", 0, 12, autoscale.Costs{Start: second / 10, Memory: 128 * mib}, 0.009375},
		{"one request, slow start, twice the memory", 0, 1, autoscale.Costs{Start: 2 * second, Memory: 256 * mib}, 0.0078125},
		{"above the clock", 5, 1, autoscale.Costs{Start: 2 * second, Memory: 256 * mib}, 5.0078125},
		{"unknown costs are a second and 128 MiB", 0, 1, autoscale.Costs{}, 0.0078125},
		{"no requests", 2, 0, autoscale.Costs{}, 2},
		{"negative uses", 2, -1, autoscale.Costs{}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := autoscale.Priority(tt.clock, tt.uses, tt.costs); math.Abs(got-tt.want) > 1e-12 {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestAnInstanceWithoutRequestsIsEvictedDespiteItsCosts(t *testing.T) {
	dear := autoscale.Priority(0, 1_000, autoscale.Costs{Start: 10 * time.Second})
	clock := 0.0
	for n := range 100_000 {
		residents := []autoscale.Resident{
			{Priority: dear, Memory: 128 * mib, Since: epoch},
			{Priority: autoscale.Priority(clock, 1, autoscale.Costs{}), Memory: 128 * mib, Since: epoch.Add(time.Duration(n) * time.Second)},
		}
		var stop []int
		stop, clock, _ = autoscale.Evict(residents, 1, clock)
		if slices.Equal(stop, []int{0}) {
			return
		}
	}
	t.Error("it outlived 100,000 others")
}
