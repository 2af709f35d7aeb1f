package main

import (
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// policy decides on the instances of a trace's functions. It is told of each
// arrival when it comes, and nothing else.
type policy interface {
	arrive(function int, at time.Time)
	keep(function int, now time.Time) autoscale.Plan    // the instance came to rest
	prewarm(function int, now time.Time) autoscale.Plan // no instance, and no request
	priority(function int, now time.Time, clock float64) float64
}

const forever = 1000 * time.Hour

// fixed keeps every instance as long as every other, and evicts the least recently used.
type fixed struct{ keepAlive time.Duration }

func (fixed) arrive(int, time.Time) {}

func (p fixed) keep(_ int, now time.Time) autoscale.Plan {
	return autoscale.Plan{KeepUntil: now.Add(p.keepAlive)}
}

func (fixed) prewarm(_ int, now time.Time) autoscale.Plan { return autoscale.Plan{KeepUntil: now} }

func (fixed) priority(int, time.Time, float64) float64 { return 0 }

// greedy never lets go of an instance, but for lack of memory: FaasCache.
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

// newLearned returns a policy that knows nothing yet. With sized set an
// instance costs the memory that its function uses, else all cost the same.
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
