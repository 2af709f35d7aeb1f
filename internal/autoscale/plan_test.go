package autoscale_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

func TestNewFunctionIsKeptByTheCostOfItsStart(t *testing.T) {
	h, now := arrivals()
	for _, tt := range []struct {
		name   string
		policy autoscale.Policy
		costs  autoscale.Costs
		want   time.Duration // rounded to seconds
	}{
		{"by default", autoscale.Policy{}, autoscale.Costs{}, 9*time.Minute + 10*time.Second},
		{"a start of half a second", autoscale.Policy{}, autoscale.Costs{Start: 500 * time.Millisecond}, 4*time.Minute + 35*time.Second},
		{"a start of five milliseconds", autoscale.Policy{}, autoscale.Costs{Start: 5 * time.Millisecond}, 2 * time.Second},
		{"four times the memory", autoscale.Policy{}, autoscale.Costs{Memory: 512 << 20}, 2*time.Minute + 17*time.Second},
		{"expensive delay", autoscale.Policy{Worth: time.Hour}, autoscale.Costs{}, 36*time.Minute + 39*time.Second},
		{"cheap delay", autoscale.Policy{Worth: time.Second}, autoscale.Costs{}, time.Second},
		{"cheap delay with a minimum", autoscale.Policy{Worth: time.Second, Least: time.Minute}, autoscale.Costs{}, time.Minute},
		{"at most", autoscale.Policy{Most: time.Minute}, autoscale.Costs{}, time.Minute},
		{"nonsense is the default", autoscale.Policy{Worth: -1, Ahead: -1, Least: -1, Most: -1}, autoscale.Costs{Start: -1, Memory: -1}, 9*time.Minute + 10*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := tt.policy.Keep(h, now, tt.costs)
			if got := plan.KeepUntil.Sub(now).Round(time.Second); got != tt.want {
				t.Errorf("kept for %s, want %s", got, tt.want)
			}
			if !plan.PrewarmAt.IsZero() {
				t.Errorf("prewarmed after %s without data", plan.PrewarmAt.Sub(now))
			}
		})
	}
}

func TestFunctionWithoutRequestsIsPlannedLikeANewOne(t *testing.T) {
	h, now := arrivals()
	want := autoscale.Policy{}.Keep(h, now, autoscale.Costs{})
	if got := (autoscale.Policy{}).Keep(new(autoscale.History), now, autoscale.Costs{}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPlansFollowTheHabitsOfAFunction(t *testing.T) {
	const never = -1
	for _, tt := range []struct {
		name        string
		pauses      []time.Duration
		keep        [2]time.Duration // bounds
		ahead, till [2]time.Duration // bounds of the first prewarm
	}{
		{
			name: "every hour, seen once", pauses: times(1, time.Hour),
			keep:  [2]time.Duration{30 * time.Second, 2 * time.Minute},
			ahead: [2]time.Duration{55 * time.Minute, 56 * time.Minute}, till: [2]time.Duration{64 * time.Minute, 65 * time.Minute},
		},
		{
			name: "every hour, seen twice: the worked example", pauses: times(2, time.Hour),
			keep:  [2]time.Duration{10 * time.Second, 30 * time.Second},
			ahead: [2]time.Duration{57*time.Minute + 28*time.Second, 57*time.Minute + 30*time.Second}, till: [2]time.Duration{62*time.Minute + 29*time.Second, 62*time.Minute + 31*time.Second},
		},
		{
			name: "every hour, seen often", pauses: times(50, time.Hour),
			keep:  [2]time.Duration{time.Second, 3 * time.Second},
			ahead: [2]time.Duration{59 * time.Minute, 60 * time.Minute}, till: [2]time.Duration{60 * time.Minute, 61 * time.Minute},
		},
		{
			name: "once a day", pauses: times(5, 24*time.Hour),
			keep:  [2]time.Duration{time.Second, 5 * time.Second},
			ahead: [2]time.Duration{never, never}, // the margin of a day costs more than a start
		},
		{
			name: "once a day, seen often", pauses: times(40, 24*time.Hour),
			keep:  [2]time.Duration{time.Second, 3 * time.Second},
			ahead: [2]time.Duration{23*time.Hour + 45*time.Minute, 24 * time.Hour}, till: [2]time.Duration{24 * time.Hour, 24*time.Hour + 30*time.Minute},
		},
		{
			name: "every two minutes: kept for the next request, then like a new function", pauses: times(20, 2*time.Minute),
			keep:  [2]time.Duration{2 * time.Minute, 10 * time.Minute},
			ahead: [2]time.Duration{never, never},
		},
		{
			name: "bursts every hour", pauses: times(30, append(times(9, 5*time.Second), time.Hour)...),
			keep:  [2]time.Duration{5 * time.Second, 30 * time.Second},
			ahead: [2]time.Duration{58 * time.Minute, 60 * time.Minute}, till: [2]time.Duration{60 * time.Minute, 62 * time.Minute},
		},
		{
			name: "15 and 45 minutes in turn", pauses: times(20, 45*time.Minute, 15*time.Minute),
			keep:  [2]time.Duration{time.Second, time.Minute},
			ahead: [2]time.Duration{14 * time.Minute, 15 * time.Minute}, till: [2]time.Duration{15 * time.Minute, 16 * time.Minute},
		},
		{
			name: "every two days: too long for a prediction", pauses: times(10, 48*time.Hour),
			keep:  [2]time.Duration{time.Second, 10 * time.Second},
			ahead: [2]time.Duration{never, never},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, last := arrivals(tt.pauses...)
			plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
			within := func(what string, at time.Time, bounds [2]time.Duration) {
				switch got := at.Sub(last); {
				case bounds[0] == never && at.IsZero():
				case bounds[0] == never || at.IsZero() || got < bounds[0] || got > bounds[1]:
					t.Errorf("%s %s after the last request, want from %s to %s", what, got, bounds[0], bounds[1])
				}
			}
			within("kept until", plan.KeepUntil, tt.keep)
			within("prewarmed", plan.PrewarmAt, tt.ahead)
			if tt.ahead[0] != never {
				within("kept again until", plan.PrewarmUntil, tt.till)
			}
		})
	}
}

func TestWindowWithoutArrivalIsFollowedByTheNext(t *testing.T) {
	h, last := arrivals(times(20, 45*time.Minute, 15*time.Minute)...)
	plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	plan = autoscale.Policy{}.Prewarm(h, plan.PrewarmUntil, autoscale.Costs{})
	if due := last.Add(45 * time.Minute); plan.PrewarmAt.After(due) || plan.PrewarmUntil.Before(due) || plan.PrewarmAt.Before(due.Add(-5*time.Minute)) {
		t.Errorf("after 15 minutes without an arrival: prewarmed from %s to %s, want 45 minutes", plan.PrewarmAt.Sub(last), plan.PrewarmUntil.Sub(last))
	}
	plan = autoscale.Policy{}.Prewarm(h, plan.PrewarmUntil, autoscale.Costs{})
	if !plan.PrewarmAt.IsZero() {
		t.Errorf("prewarmed again after %s", plan.PrewarmAt.Sub(last))
	}
}

func TestPrewarmOfAnOverdueArrivalIsNow(t *testing.T) {
	h, last := arrivals(times(20, time.Hour)...)
	now := last.Add(time.Hour)
	if plan := (autoscale.Policy{}).Prewarm(h, now, autoscale.Costs{}); !plan.PrewarmAt.Equal(now) || !plan.KeepUntil.Equal(now) || !plan.PrewarmUntil.After(now) {
		t.Errorf("an hour after the last request: %+v, want a start at %s", plan, now)
	}
}

func TestPrewarmPrecedesTheArrivalByTheStartTime(t *testing.T) {
	h, last := arrivals(times(20, time.Hour)...)
	soon := autoscale.Policy{}.Keep(h, last, autoscale.Costs{Start: time.Second})
	slow := autoscale.Policy{}.Keep(h, last, autoscale.Costs{Start: 30 * time.Second, Memory: 30 * 128 << 20}) // with the same price
	if got := soon.PrewarmAt.Sub(slow.PrewarmAt); got != 58*time.Second {
		t.Errorf("a start that takes 29 seconds more begins %s earlier, want 58s", got)
	}
}

func TestKeepAliveTimesDoNotExceedTheMaximum(t *testing.T) {
	h, last := arrivals(times(20, time.Hour)...)
	plan := autoscale.Policy{Most: 59*time.Minute + 50*time.Second}.Keep(h, last, autoscale.Costs{})
	if got := plan.PrewarmUntil.Sub(last); got != 59*time.Minute+50*time.Second {
		t.Errorf("kept until %s after the last request", got)
	}
	if plan = (autoscale.Policy{Most: 30 * time.Minute}).Keep(h, last, autoscale.Costs{}); !plan.PrewarmAt.IsZero() {
		t.Errorf("prewarmed %s after the last request; 30 minutes are the maximum", plan.PrewarmAt.Sub(last))
	}
}

func TestPlanningAllocatesNothing(t *testing.T) {
	h, last := arrivals(times(20, 45*time.Minute, 15*time.Minute)...)
	if n := testing.AllocsPerRun(100, func() {
		h.Observe(last)
		autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
		autoscale.Policy{}.Prewarm(h, last, autoscale.Costs{})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	h, at := arrivals()
	for b.Loop() {
		at = at.Add(2 * time.Second)
		h.Observe(at)
	}
}

func BenchmarkKeep(b *testing.B) {
	h, last := arrivals(times(20, 45*time.Minute, 15*time.Minute)...)
	for b.Loop() {
		autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	}
}
