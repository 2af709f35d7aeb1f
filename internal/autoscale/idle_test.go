package autoscale_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// simulateIdle simulates an idle instance and returns the time of each step after
// the beginning.
func simulateIdle(p autoscale.Idle, r autoscale.IdleState, busyFor time.Duration) map[autoscale.Step]time.Duration {
	begin := time.Unix(1000, 0)
	r.BusyUntil, r.At = begin, begin
	r.Until = begin.Add(time.Minute)
	went := map[autoscale.Step]time.Duration{}
	now := begin
	for range 1000 {
		r.Busy = now.Sub(begin) < busyFor
		if r.Busy {
			r.BusyUntil = now
		}
		step, at := p.Next(r, now)
		if step != autoscale.StepNone {
			went[step] = now.Sub(begin)
			r.At = now
		}
		switch step {
		case autoscale.StepFreeze:
			r.Frozen = true
		case autoscale.StepReclaim:
			r.Reclaimed = true
		case autoscale.StepStop:
			return went
		case autoscale.StepNone:
			now = at
		}
	}
	return went
}

func TestAnIdleInstanceIsFrozenReclaimedAndStopped(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name                  string
		rest                  autoscale.IdleState
		busy                  time.Duration
		freeze, reclaim, stop time.Duration // 0 is never
	}{
		{"default", autoscale.IdleState{}, 0, 300 * ms, 5300 * ms, time.Minute},
		{"after background work", autoscale.IdleState{}, 10 * time.Second, 10200 * ms, 15200 * ms, time.Minute},
		{"never during background work", autoscale.IdleState{}, 70 * time.Second, 0, 0, 70200 * ms},
		{"without support for freezing", autoscale.IdleState{Unfreezable: true}, 0, 0, 0, time.Minute},
		{"without support for reclaiming", autoscale.IdleState{Unreclaimed: true}, 0, 300 * ms, 0, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			went := simulateIdle(autoscale.Idle{}, tt.rest, tt.busy)
			for step, want := range map[autoscale.Step]time.Duration{autoscale.StepFreeze: tt.freeze, autoscale.StepReclaim: tt.reclaim, autoscale.StepStop: tt.stop} {
				if went[step] != want {
					t.Errorf("step %d after %s, want %s", step, went[step], want)
				}
			}
		})
	}
}

func TestABudgetFillsAtItsRate(t *testing.T) {
	var b autoscale.Budget
	now := time.Unix(1000, 0)
	take := func() (n int) {
		for b.Take(now, 2, 5) {
			n++
		}
		return n
	}
	if got := take(); got != 5 {
		t.Errorf("%d at first, want 5", got)
	}
	now = now.Add(time.Second)
	if got := take(); got != 2 {
		t.Errorf("%d a second later, want 2", got)
	}
	now = now.Add(time.Hour)
	if got := take(); got != 5 {
		t.Errorf("%d an hour later, want 5", got)
	}
	now = now.Add(-time.Hour)
	if got := take(); got != 0 {
		t.Errorf("%d after the clock went back, want none", got)
	}
}
