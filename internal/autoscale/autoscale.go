// Package autoscale decides which instances to start, keep and stop, from
// numbers and a time. It learns each function's pauses, weighs the memory of an
// idle instance against the wait of who would come to a stopped one, and does
// nothing itself: every decision is a value for the caller to act on.
//
// The caller tells a function's [History] of every arrival. When its instance
// has rested for a moment it asks [Policy.Keep], stops the instance at
// KeepUntil and starts one at PrewarmAt, unless a request comes before. If none
// comes by PrewarmUntil it stops that one, too, and asks [Policy.Prewarm]. What
// memory does not suffice for goes by [Evict], and how many are needed at once
// is [Demand.Missing]. What becomes of an instance between its last request and
// its stop is [Idle.Next], how many requests one takes at once is [Limit], and
// who gives way where things are short is [Yield] and
// [Processors.Admit].
package autoscale

import "time"

// referenceMemory is what [Policy.Worth] speaks of.
const referenceMemory = 128 << 20

// Policy is what an operator has to say. Its zero value is the default.
type Policy struct {
	// Worth is the exchange rate of waiting and memory: how long 128 MiB are
	// held to spare one request one second's wait. 0 is 20 minutes.
	Worth time.Duration

	// Ahead is the price of a start that nobody waits for, as a share of the
	// price of one that somebody waits for. 0 is a quarter.
	Ahead float64

	Least time.Duration // an instance that came to rest is kept that long whatever is known; 0 is a second
	Most  time.Duration // no longer than that after the last arrival, but for Least; 0 is unbounded
}

// Costs are those of one function's instance.
type Costs struct {
	Start  time.Duration // how long a request waits for a new one; 0 is a second
	Memory int64         // bytes that an idle one holds; 0 is 128 MiB
}

func (p Policy) withDefaults() Policy {
	setDefault(&p.Worth, 20*time.Minute)
	setDefault(&p.Ahead, 0.25)
	setDefault(&p.Least, time.Second)
	setDefault(&p.Most, horizon)
	return p
}

func (c Costs) withDefaults() Costs {
	setDefault(&c.Start, time.Second)
	setDefault(&c.Memory, referenceMemory)
	return c
}

// price returns how many seconds an instance may be held to spare one start.
//
//	Start 1 s,    128 MiB, Worth 20 min: 1200 s
//	Start 500 ms, 256 MiB, Worth 20 min:  300 s
//	Start 5 ms,   128 MiB, Worth 20 min:    6 s
func (p Policy) price(c Costs) float64 {
	return c.Start.Seconds() * p.Worth.Seconds() * referenceMemory / float64(c.Memory)
}

// setDefault replaces what makes no sense, nothing and less, by what does.
func setDefault[T int64 | float64 | time.Duration](v *T, value T) {
	if !(*v > 0) { //nolint:staticcheck // not a number is no setting either
		*v = value
	}
}
