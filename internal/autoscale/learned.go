package autoscale

import (
	"cmp"
	"math"
	"time"
)

// Learned holds the learned statistics of one function. The zero value knows
// nothing. It is not safe for concurrent use.
type Learned struct {
	History      History
	Limit        Limit
	Start        time.Duration // moving average of the start time of an instance; 0 is unknown
	Service      time.Duration // moving average of the time that a request holds its place; 0 is unknown
	CPU          float64       // moving average of the CPU seconds of a request
	IdleMemory   int64         // moving average of the bytes that an idle instance holds
	ActiveMemory int64         // moving average of the bytes that an instance holds after a request

	quickest      float32 // recent minimum of the seconds until the first byte of a response; 0 is unknown
	unansweredCPU float32 // moving average of the CPUs used by a request that ends without a response; answered requests count as 0
	delay         float32 // moving average of the delay of the event loop, in seconds
}

// Need returns the number of CPUs that a request is expected to use while it is not
// held up.
func (l *Learned) Need() float64 {
	if l.quickest == 0 {
		return float64(l.unansweredCPU)
	}
	return max(min(1, l.CPU/float64(l.quickest)), float64(l.unansweredCPU))
}

// CPUTime returns the CPU time of a request.
func (l *Learned) CPUTime() time.Duration { return seconds(l.CPU) }

// Delay returns the delay of the event loop.
func (l *Learned) Delay() time.Duration { return seconds(float64(l.delay)) }

// Costs returns the costs of an instance.
func (l *Learned) Costs() Costs { return Costs{Start: l.Start, Memory: l.IdleMemory} }

// CostsAt returns the costs of an instance that gets requests only after rank other
// idle instances: each further standby instance is worth half of the one before it.
func (l *Learned) CostsAt(rank int) Costs {
	c := l.Costs()
	c.Start = cmp.Or(c.Start, time.Second)
	c.Start >>= min(rank, 20)
	return c
}

// Estimate returns the bytes that a new instance is expected to hold.
func (l *Learned) Estimate() int64 {
	const unknown = 64 << 20
	if l.ActiveMemory > 0 {
		return l.ActiveMemory
	}
	return unknown
}

// Answer learns from an answered request; its CPU time is set here. ceiling is the
// one of [Limit.Observe], and short tells that CPU time is short.
func (l *Learned) Answer(a Answered, ceiling int, short bool) {
	l.unansweredCPU -= l.unansweredCPU / 8
	a.CPU = l.CPUTime()
	l.Limit.Observe(a, ceiling)
	if took := float32(a.Took.Seconds()); l.quickest == 0 || took < l.quickest || !short { // otherwise the time would tell how busy the CPUs are
		l.quickest = towards(l.quickest, took)
	}
}

// Serve learns from an answered request that held its place for a time and used
// cpu; 0 is unknown.
func (l *Learned) Serve(held, cpu time.Duration) {
	l.Service = average(l.Service, held)
	if cpu > 0 {
		l.CPU = average(l.CPU, cpu.Seconds())
	}
}

// leastTook is the shortest duration over which CPU time can be measured.
const leastTook = 10 * time.Millisecond

// Fail learns from a request that got no response because it was cut off or its
// instance ended. cpu is its CPU time and took its duration.
func (l *Learned) Fail(cpu, took time.Duration) {
	if took < leastTook {
		return // the request may not have begun
	}
	used := float32(min(1, cpu.Seconds()/took.Seconds()))
	if l.quickest == 0 && l.unansweredCPU == 0 {
		l.unansweredCPU = used
		return
	}
	l.unansweredCPU += (used - l.unansweredCPU) / 8
}

// Delayed records that ticks timers of an instance's event loop were late by the sum
// late.
func (l *Learned) Delayed(ticks float64, late time.Duration) {
	if !(ticks > 0) || late < 0 {
		return // nothing was reported since, or the report is older than the last one
	}
	l.Limit.Delayed(ticks, late)
	l.delay += (float32(late.Seconds()/ticks) - l.delay) / 8
}

// Started records the time of a start.
func (l *Learned) Started(took time.Duration) { l.Start = average(l.Start, took) }

// Holds records the memory of an instance after a request, if it is known.
func (l *Learned) Holds(bytes int64) {
	if bytes > 0 {
		l.ActiveMemory = average(l.ActiveMemory, bytes)
	}
}

// Rests records the memory of an idle instance, if it is known.
func (l *Learned) Rests(bytes int64) {
	if bytes > 0 {
		l.IdleMemory = average(l.IdleMemory, bytes)
	}
}

// average moves a moving average by an eighth towards value; the first value becomes
// the average.
func average[T time.Duration | int64 | float64](mean, value T) T {
	if mean == 0 {
		return value
	}
	return mean + (value-mean)/8
}

// towards moves a recent minimum towards value: halfway down, or a 256th up.
func towards(best, value float32) float32 {
	switch {
	case best == 0:
		return value
	case value < best:
		return best + (value-best)/2
	}
	return best + (value-best)/256
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }
