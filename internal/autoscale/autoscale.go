// Package autoscale decides which instances to start, keep and stop, from numbers
// and a time. It learns the pauses between the requests of each function and weighs
// the memory of an idle instance against the delay of a cold start. It does nothing
// itself: every decision is a value for the caller to act on.
//
// The caller reports every arrival to the function's [History]. When an instance has
// been idle for a moment, the caller asks [Policy.Keep], stops the instance at
// KeepUntil and starts one at PrewarmAt, unless a request comes before. If no
// request comes by PrewarmUntil, it stops that instance, too, and asks
// [Policy.Prewarm]. [Evict] selects the idle instances to stop when memory is short,
// and [Demand.Missing] the number of instances to start. [Idle.Next] orders the
// steps between the last request and the stop of an instance, [Limit] learns how
// many concurrent requests an instance takes, [Learned] keeps all that is learned of a
// function, and [Yield] and [Processors.Admit]
// divide scarce instances and CPU time between tenants.
package autoscale

import "time"

// referenceMemory is the unit of memory in [Policy.Worth].
const referenceMemory = 128 << 20

// Policy holds the settings of the operator. Its zero value is the default.
type Policy struct {
	// Worth is the exchange rate between delay and memory: the time for which 128
	// MiB are held to save one request a delay of one second. 0 is 20 minutes.
	Worth time.Duration

	// Ahead is the price of a start for which no request waits, as a fraction of the
	// price of a start for which one waits. 0 is a quarter.
	Ahead float64

	Least time.Duration // minimum time that an idle instance is kept; 0 is a second
	Most  time.Duration // maximum time after the last arrival that one is kept, but at least Least; 0 is unbounded
}

// Costs holds the costs of an instance of one function.
type Costs struct {
	Start  time.Duration // delay of a request that waits for a new instance; 0 is a second
	Memory int64         // bytes that an idle instance holds; 0 is 128 MiB
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

// price returns the number of seconds for which an instance may be held to save one
// start.
//
//	Start 1 s,    128 MiB, Worth 20 min: 1200 s
//	Start 500 ms, 256 MiB, Worth 20 min:  300 s
//	Start 5 ms,   128 MiB, Worth 20 min:    6 s
func (p Policy) price(c Costs) float64 {
	return c.Start.Seconds() * p.Worth.Seconds() * referenceMemory / float64(c.Memory)
}

// setDefault replaces a setting that is not positive by value.
func setDefault[T int64 | float64 | time.Duration](v *T, value T) {
	if !(*v > 0) { //nolint:staticcheck // NaN is not positive either
		*v = value
	}
}
