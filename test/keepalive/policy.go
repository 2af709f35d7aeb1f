package main

import (
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// policy decides on the instances of a trace's functions. Its only input is the arrivals,
// in order.
type policy interface {
	arrive(function int, at time.Time)
	keep(function int, now time.Time) autoscale.Plan    // plan for an instance that has become idle
	prewarm(function int, now time.Time) autoscale.Plan // plan for a function without an instance and requests
	priority(function int, now time.Time, clock float64) float64
}

const forever = 1000 * time.Hour

// fixed keeps all instances for the same time, and evicts the least recently used.
type fixed struct{ keepAlive time.Duration }

func (fixed) arrive(int, time.Time) {}

func (p fixed) keep(_ int, now time.Time) autoscale.Plan {
	return autoscale.Plan{KeepUntil: now.Add(p.keepAlive)}
}

func (fixed) prewarm(_ int, now time.Time) autoscale.Plan { return autoscale.Plan{KeepUntil: now} }

func (fixed) priority(int, time.Time, float64) float64 { return 0 }

// greedy stops instances only for lack of memory, as FaasCache does.
type greedy struct{ *learned }

func (greedy) keep(_ int, now time.Time) autoscale.Plan {
	return autoscale.Plan{KeepUntil: now.Add(forever)}
}

// learned is the policy of the platform.
type learned struct {
	policy    autoscale.Policy
	histories []autoscale.History
	costs     []autoscale.Costs
}

// newLearned returns a policy without history. If sized is true, an instance costs the
// recorded memory of its function, otherwise all instances cost the same.
func newLearned(p autoscale.Policy, functions []function, sized bool) *learned {
	l := &learned{p, make([]autoscale.History, len(functions)), make([]autoscale.Costs, len(functions))}
	for i := range l.costs {
		if sized {
			l.costs[i].Memory = functions[i].memory
		}
	}
	return l
}

func (l *learned) arrive(f int, at time.Time) { l.histories[f].Observe(at) }

func (l *learned) keep(f int, now time.Time) autoscale.Plan {
	return l.policy.Keep(&l.histories[f], now, l.costs[f])
}

func (l *learned) prewarm(f int, now time.Time) autoscale.Plan {
	return l.policy.Prewarm(&l.histories[f], now, l.costs[f])
}

func (l *learned) priority(f int, now time.Time, clock float64) float64 {
	return autoscale.Priority(clock, l.histories[f].Uses(now), l.costs[f])
}
