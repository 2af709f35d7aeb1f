package main

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// planDelay is the time from the end of the last request of an instance to its plan, for
// traces with times finer than a minute: a continuously busy function needs no plan after
// each request.
const planDelay = time.Second

// startDuration is the duration of a start.
const startDuration = time.Second

// outcome is the result of a policy on a trace.
type outcome struct {
	requests int
	colds    int       // cold starts
	shares   []float64 // share of cold starts in the requests of each function, in %, ascending

	warm  time.Duration // sum of the lifetimes of instances
	begun int           // minutes in which a function had an instance, for all functions; only for coarse traces
	ahead time.Duration // part of warm: prewarmed instances until their first request or stop

	prewarms int // prewarmed instances
	wasted   int // prewarmed instances that were not used

	evicted int // instances stopped for lack of memory
	over    int // starts that exceeded the memory limit because no instance was idle
}

// share returns the nearest-rank percentile of the functions' shares.
func (o *outcome) share(percentile float64) float64 {
	return o.shares[max(0, int(math.Ceil(percentile/100*float64(len(o.shares))))-1)]
}

// mean returns the mean of the functions' shares.
func (o *outcome) mean() float64 {
	sum := 0.0
	for _, s := range o.shares {
		sum += s
	}
	return sum / float64(len(o.shares))
}

// action is a scheduled action of a function.
type action int

const (
	makePlan action = iota // make a plan, if the instance is idle
	stop                   // stop the instance
	prewarm                // prewarm an instance
)

// event is an action at a time of the simulation.
type event struct {
	at       time.Duration
	serial   int // orders events with the same time
	function int
	version  int // version of the function's plan; an event of an older version has no effect
	action   action
}

// eventQueue is a heap of events, the earliest first.
type eventQueue []event

func (q *eventQueue) Len() int { return len(*q) }

func (q *eventQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare((*q)[i].at, (*q)[j].at), cmp.Compare((*q)[i].serial, (*q)[j].serial)) < 0
}

func (q *eventQueue) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }

func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// instance is the state of the only instance of a function.
type instance struct {
	alive     bool          // the instance runs
	unused    bool          // prewarmed and not used yet
	since     time.Duration // time of its start
	busyUntil time.Duration // end of its last request
	seen      time.Duration // time of the last arrival
	priority  float64
	version   int  // version of the plan
	planDue   bool // a makePlan event is in the queue
	plan      autoscale.Plan

	requests, colds int
}

// replay simulates a trace under a policy, with at most one instance for each function.
type replay struct {
	trace  *trace
	policy policy
	limit  int64 // memory limit in bytes; 0: unlimited

	now       time.Duration
	queue     eventQueue
	serial    int
	instances []instance
	used      int64   // bytes of the instances that run
	clock     float64 // clock of greedy-dual
	out       outcome
}

// run replays t under p, with a memory limit in bytes; 0: unlimited.
func run(t *trace, p policy, limit int64) *outcome {
	r := &replay{trace: t, policy: p, limit: limit, instances: make([]instance, len(t.functions))}
	for _, a := range t.arrivals {
		r.advance(a.at)
		r.arrive(a)
	}
	end := t.end
	if t.coarse {
		end -= time.Minute // the requests of a minute arrive at its start, also those of the last one
	}
	r.advance(end)
	r.now = end
	for f := range r.instances {
		if r.instances[f].alive {
			r.stop(f)
		}
	}
	return r.total()
}

// advance handles the events before a time.
func (r *replay) advance(to time.Duration) {
	for len(r.queue) > 0 && r.queue[0].at < to {
		d, _ := heap.Pop(&r.queue).(event)
		r.now = d.at
		if d.version == r.instances[d.function].version {
			r.handle(d)
		}
	}
	r.now = to
}

func (r *replay) schedule(f int, at time.Duration, d action) {
	r.serial++
	heap.Push(&r.queue, event{max(at, r.now), r.serial, f, r.instances[f].version, d})
}

// arrive handles the arrival of requests.
func (r *replay) arrive(a arrival) {
	p := &r.instances[a.function]
	p.requests += a.count
	switch {
	case !p.alive:
		p.colds++
		r.start(a.function)
	case p.unused:
		if r.now-p.since < startDuration {
			p.colds++ // the prewarmed instance has not started yet
		}
		r.out.ahead += r.now - p.since
	}
	p.unused = false
	r.policy.arrive(a.function, wallTime(r.now))
	p.priority = r.policy.priority(a.function, wallTime(r.now), r.clock)
	p.seen, p.busyUntil = r.now, max(p.busyUntil, r.now+a.duration)
	if p.planDue {
		return
	}
	p.version++ // invalidates the events of the old plan
	p.planDue = true
	r.schedule(a.function, p.busyUntil+r.planDelay(), makePlan)
}

// planDelay returns the time from the last request of an instance to its plan.
func (r *replay) planDelay() time.Duration {
	if r.trace.coarse {
		return 0
	}
	return planDelay
}

// handle executes one event.
func (r *replay) handle(d event) {
	f, p := d.function, &r.instances[d.function]
	switch d.action {
	case makePlan:
		if at := p.busyUntil + r.planDelay(); at > r.now {
			r.schedule(f, at, makePlan)
			return
		}
		p.planDue = false
		r.setPlan(f, r.policy.keep(f, wallTime(r.now)))
	case stop:
		if begins := r.traceTime(p.plan.PrewarmAt, false); !p.plan.PrewarmAt.IsZero() && begins <= r.now {
			p.plan.KeepUntil, p.plan.PrewarmAt = p.plan.PrewarmUntil, time.Time{}
			r.schedule(f, r.traceTime(p.plan.KeepUntil, true), stop)
			return
		}
		r.stop(f)
		r.schedulePrewarm(f)
	case prewarm:
		if r.limit > 0 && r.used+r.trace.functions[f].memory > r.limit {
			return // prewarming evicts no instance
		}
		r.start(f)
		p.unused = true
		p.priority = r.policy.priority(f, wallTime(r.now), r.clock)
		r.out.prewarms++
		until := p.plan.PrewarmUntil
		p.plan = autoscale.Plan{KeepUntil: until}
		r.schedule(f, r.traceTime(until, true), stop)
	}
}

// setPlan sets the plan of an idle instance.
func (r *replay) setPlan(f int, plan autoscale.Plan) {
	r.instances[f].plan = plan
	r.schedule(f, r.traceTime(plan.KeepUntil, true), stop)
}

// schedulePrewarm schedules the time of the next prewarm.
func (r *replay) schedulePrewarm(f int) {
	p := &r.instances[f]
	if p.plan.PrewarmAt.IsZero() {
		p.plan = r.policy.prewarm(f, wallTime(r.now))
	}
	if !p.plan.PrewarmAt.IsZero() {
		r.schedule(f, r.traceTime(p.plan.PrewarmAt, false), prewarm)
	}
}

func (r *replay) start(f int) {
	p := &r.instances[f]
	r.evictFor(f)
	p.alive, p.since = true, r.now
	r.used += r.trace.functions[f].memory
}

func (r *replay) stop(f int) {
	p := &r.instances[f]
	if p.unused {
		r.out.wasted++
		r.out.ahead += r.now - p.since
	}
	p.alive, p.unused, p.planDue = false, false, false
	p.version++
	r.out.warm += r.now - p.since
	r.out.begun += int((r.now-p.since)/time.Minute) + 1
	r.used -= r.trace.functions[f].memory
}

// evictFor evicts idle instances until f's instance fits into memory.
func (r *replay) evictFor(f int) {
	need := r.used + r.trace.functions[f].memory - r.limit
	if r.limit == 0 || need <= 0 {
		return
	}
	var idle []int
	var residents []autoscale.Resident
	for i := range r.instances {
		if p := &r.instances[i]; p.alive && p.busyUntil <= r.now && p.seen < r.now {
			idle = append(idle, i)
			residents = append(residents, autoscale.Resident{
				Priority: p.priority, Memory: r.trace.functions[i].memory, Since: wallTime(p.seen),
			})
		}
	}
	chosen, clock, ok := autoscale.Evict(residents, need, r.clock)
	r.clock = clock
	if !ok {
		r.out.over++
	}
	for _, i := range chosen {
		r.stop(idle[i]) // an evicted function gets no prewarm
		r.out.evicted++
	}
}

// wallTime converts a time of the trace to a wall-clock time.
func wallTime(at time.Duration) time.Time { return time.Unix(1, 0).Add(at) }

// traceTime converts a wall-clock time to a time of the trace. In a coarse trace it is a
// whole minute, rounded up or down.
func (r *replay) traceTime(at time.Time, up bool) time.Duration {
	d := max(r.now, at.Sub(wallTime(0)))
	switch {
	case !r.trace.coarse:
		return d
	case up:
		return (d + time.Minute - 1).Truncate(time.Minute)
	}
	return d.Truncate(time.Minute)
}

// total returns the outcome of the replay.
func (r *replay) total() *outcome {
	o := &r.out
	for _, p := range r.instances {
		if p.requests == 0 {
			continue
		}
		o.requests += p.requests
		o.colds += p.colds
		o.shares = append(o.shares, 100*float64(p.colds)/float64(p.requests))
		if r.trace.coarse {
			o.warm += time.Minute // the minute of the first request of each function
		}
	}
	slices.Sort(o.shares)
	return o
}
