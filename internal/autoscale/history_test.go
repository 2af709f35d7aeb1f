package autoscale_test

import (
	"math"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// epoch is some time.
var epoch = time.Unix(1_700_000_000, 0)

// arrivals is a history of requests that came after these pauses, and the time of the last.
func arrivals(pauses ...time.Duration) (*autoscale.History, time.Time) {
	var h autoscale.History
	at := epoch
	h.Observe(at)
	for _, pause := range pauses {
		at = at.Add(pause)
		h.Observe(at)
	}
	return &h, at
}

func times(n int, pauses ...time.Duration) []time.Duration {
	var all []time.Duration
	for range n {
		all = append(all, pauses...)
	}
	return all
}

func TestUsesHalveEveryHour(t *testing.T) {
	h, last := arrivals(times(7, time.Millisecond)...)
	for after, want := range map[time.Duration]float64{0: 8, time.Hour: 4, 3 * time.Hour: 1, -time.Minute: 8} {
		if got := h.Uses(last.Add(after)); math.Abs(got-want) > 0.001 {
			t.Errorf("%s after 8 requests: %.3f uses, want %.0f", after, got, want)
		}
	}
	if got := new(autoscale.History).Uses(epoch); got != 0 {
		t.Errorf("nobody ever asked: %v uses", got)
	}
}

func TestArrivalBeforeTheLastIsCountedAndTeachesNothing(t *testing.T) {
	h, last := arrivals(time.Hour)
	before := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	h.Observe(last.Add(-10 * time.Minute))
	if after := (autoscale.Policy{}).Keep(h, last, autoscale.Costs{}); after != before {
		t.Errorf("the plan became %v, was %v", after, before)
	}
	if got := h.Uses(last); got < 2 {
		t.Errorf("%.2f uses, want more than 2", got)
	}
}

func TestPausesOfLessThanASecondTeachNothing(t *testing.T) {
	h, last := arrivals(times(10_000, 900*time.Millisecond)...)
	fresh, first := arrivals()
	got := autoscale.Policy{}.Keep(h, last, autoscale.Costs{}).KeepUntil.Sub(last)
	want := autoscale.Policy{}.Keep(fresh, first, autoscale.Costs{}).KeepUntil.Sub(first)
	if got != want {
		t.Errorf("kept for %s, a new function for %s", got, want)
	}
}

func TestBusyDayLeavesTheMemoryOfNightsAlone(t *testing.T) {
	const night = 9 * time.Hour
	days := append(times(3, night), times(20_000, 2*time.Second)...)
	h, last := arrivals(days...)
	plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	plan = autoscale.Policy{}.Prewarm(h, plan.KeepUntil, autoscale.Costs{Start: 10 * time.Second})
	due := last.Add(night)
	if plan.PrewarmAt.After(due) || plan.PrewarmUntil.Before(due) {
		t.Errorf("started ahead from %s to %s after the last request; the night ends after %s",
			plan.PrewarmAt.Sub(last), plan.PrewarmUntil.Sub(last), night)
	}
}

func TestFunctionThatChangesItsWaysIsLearnedAnew(t *testing.T) {
	h, last := arrivals(append(times(40, 30*time.Minute), times(8, 2*time.Hour)...)...)
	plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	for plan.PrewarmUntil.Before(last.Add(2*time.Hour)) && !plan.PrewarmAt.IsZero() {
		plan = autoscale.Policy{}.Prewarm(h, plan.PrewarmUntil, autoscale.Costs{})
	}
	if due := last.Add(2 * time.Hour); plan.PrewarmAt.After(due) || plan.PrewarmUntil.Before(due) {
		t.Errorf("started ahead from %s to %s, asked every two hours of late", plan.PrewarmAt.Sub(last), plan.PrewarmUntil.Sub(last))
	}
	for range 60 {
		last = last.Add(2 * time.Hour)
		h.Observe(last)
	}
	plan = autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	if plan.PrewarmAt.Before(last.Add(time.Hour)) {
		t.Errorf("still started ahead after %s, as long ago", plan.PrewarmAt.Sub(last))
	}
}
