package autoscale_test

import (
	"math"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// epoch is an arbitrary time.
var epoch = time.Unix(1_700_000_000, 0)

// arrivals returns a history of requests with the given pauses between them, and the
// time of the last request.
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
		t.Errorf("a function without requests has %v uses", got)
	}
}

func TestArrivalBeforeTheLastIsOnlyCounted(t *testing.T) {
	h, last := arrivals(time.Hour)
	before := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	h.Observe(last.Add(-time.Second))
	if after := (autoscale.Policy{}).Keep(h, last, autoscale.Costs{}); after != before {
		t.Errorf("the plan became %v, was %v", after, before)
	}
	if got := h.Uses(last); got < 2 {
		t.Errorf("%.2f uses, want more than 2", got)
	}
}

func TestPausesOfLessThanASecondDoNotChangePlans(t *testing.T) {
	h, last := arrivals(times(10_000, 900*time.Millisecond)...)
	fresh, first := arrivals()
	got := autoscale.Policy{}.Keep(h, last, autoscale.Costs{}).KeepUntil.Sub(last)
	want := autoscale.Policy{}.Keep(fresh, first, autoscale.Costs{}).KeepUntil.Sub(first)
	if got != want {
		t.Errorf("kept for %s, a new function for %s", got, want)
	}
}

func TestBusyDayDoesNotEraseTheRecordOfNights(t *testing.T) {
	const night = 9 * time.Hour
	days := append(times(3, night), times(20_000, 2*time.Second)...)
	h, last := arrivals(days...)
	plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	plan = autoscale.Policy{}.Prewarm(h, plan.KeepUntil, autoscale.Costs{Start: 10 * time.Second})
	due := last.Add(night)
	if plan.PrewarmAt.After(due) || plan.PrewarmUntil.Before(due) {
		t.Errorf("prewarmed from %s to %s after the last request; the night ends after %s",
			plan.PrewarmAt.Sub(last), plan.PrewarmUntil.Sub(last), night)
	}
}

func TestChangedHabitsOfAFunctionAreLearned(t *testing.T) {
	h, last := arrivals(append(times(40, 30*time.Minute), times(8, 2*time.Hour)...)...)
	plan := autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	for plan.PrewarmUntil.Before(last.Add(2*time.Hour)) && !plan.PrewarmAt.IsZero() {
		plan = autoscale.Policy{}.Prewarm(h, plan.PrewarmUntil, autoscale.Costs{})
	}
	if due := last.Add(2 * time.Hour); plan.PrewarmAt.After(due) || plan.PrewarmUntil.Before(due) {
		t.Errorf("prewarmed from %s to %s, with requests every two hours recently", plan.PrewarmAt.Sub(last), plan.PrewarmUntil.Sub(last))
	}
	for range 60 {
		last = last.Add(2 * time.Hour)
		h.Observe(last)
	}
	plan = autoscale.Policy{}.Keep(h, last, autoscale.Costs{})
	if plan.PrewarmAt.Before(last.Add(time.Hour)) {
		t.Errorf("still prewarmed after %s, as long ago", plan.PrewarmAt.Sub(last))
	}
}

// The host's clock is an hour fast for one request, and is then set back.
func TestAHistoryLearnsOnAfterTheClockIsSetBack(t *testing.T) {
	h, last := arrivals(times(4, time.Minute)...)
	h.Observe(last.Add(time.Hour))
	for range 600 {
		last = last.Add(time.Second)
		h.Observe(last)
	}
	if got := h.Last(); !got.Equal(last) {
		t.Errorf("Last is %v after the last arrival", got.Sub(last))
	}
	if got := h.Uses(last.Add(10 * time.Hour)); got > 1 {
		t.Errorf("%.1f uses after ten hours without arrivals", got)
	}
}

func TestABudgetFillsAfterTheClockIsSetBack(t *testing.T) {
	var b autoscale.Budget
	for b.Take(epoch.Add(time.Hour), 1, 5) { // while the clock is fast
	}
	if left := b.Left(epoch, 1, 5); left >= 1 {
		t.Errorf("%v tokens are left at once", left)
	}
	if left := b.Left(epoch.Add(3*time.Second), 1, 5); left < 2.9 || left > 3.1 {
		t.Errorf("%v tokens are left after three seconds, want 3", left)
	}
}
