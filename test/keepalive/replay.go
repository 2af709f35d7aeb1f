package main

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// settle is the delay from the begin of an idle period to its plan, for traces with
// times finer than a minute: a continuously busy function needs no plan after each
// request.
const settle = time.Second

// start is how long an instance takes to start.
const start = time.Second

// outcome is the result of a policy on a trace.
type outcome struct {
	requests int
	colds    int
	shares   []float64 // of each function's requests that found no instance, in %, rising

	warm  time.Duration // instances were there
	begun int           // minutes in which one was, of each function; only by the minute
	ahead time.Duration // part of warm, for prewarmed instances until their first request or stop

	prewarms int // prewarmed instances
	wasted   int // unused prewarms

	evicted int // for lack of memory
	over    int // starts beyond the bound because nothing rested
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
	rest  action = iota // make a plan, if the instance is idle
	stop                // stop the instance
	begin               // prewarm an instance
)

// due is an action and its time.
type due struct {
	at       time.Duration
	serial   int // breaks ties in order of entry
	function int
	version  int // of the function's plan; an old one is void
	action   action
}

type agenda []due

func (a *agenda) Len() int { return len(*a) }

func (a *agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare((*a)[i].at, (*a)[j].at), cmp.Compare((*a)[i].serial, (*a)[j].serial)) < 0
}

func (a *agenda) Swap(i, j int) { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }

func (a *agenda) Push(x any) { *a = append(*a, x.(due)) }

func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// place is where a function's one instance is, or would be.
type place struct {
	alive    bool
	unasked  bool          // prewarmed and not used yet
	since    time.Duration // it was started
	busy     time.Duration // until then it answers
	seen     time.Duration // the last arrival
	priority float64
	version  int
	resting  bool // a rest is on the agenda
	plan     autoscale.Plan

	requests, colds int
}

// replay is a trace under a policy, one instance a function.
type replay struct {
	trace  *trace
	policy policy
	bound  int64 // of memory; 0 is none

	now    time.Duration
	agenda agenda
	serial int
	places []place
	used   int64
	clock  float64
	out    outcome
}

// run replays t under p, holding no more than bound bytes unless that is 0.
func run(t *trace, p policy, bound int64) *outcome {
	r := &replay{trace: t, policy: p, bound: bound, places: make([]place, len(t.functions))}
	for _, a := range t.arrivals {
		r.advance(a.at)
		r.arrive(a)
	}
	end := t.end
	if t.coarse {
		end -= time.Minute // the last one is seen at its start, like all
	}
	r.advance(end)
	r.now = end
	for f := range r.places {
		if r.places[f].alive {
			r.stop(f)
		}
	}
	return r.count()
}

// advance does all actions that are due before a time.
func (r *replay) advance(to time.Duration) {
	for len(r.agenda) > 0 && r.agenda[0].at < to {
		d, _ := heap.Pop(&r.agenda).(due)
		r.now = d.at
		if d.version == r.places[d.function].version {
			r.do(d)
		}
	}
	r.now = to
}

func (r *replay) later(f int, at time.Duration, d action) {
	r.serial++
	heap.Push(&r.agenda, due{max(at, r.now), r.serial, f, r.places[f].version, d})
}

// arrive lets requests come.
func (r *replay) arrive(a arrival) {
	p := &r.places[a.function]
	p.requests += a.count
	switch {
	case !p.alive:
		p.colds++
		r.start(a.function)
	case p.unasked:
		if r.now-p.since < start {
			p.colds++ // too late to save the wait
		}
		r.out.ahead += r.now - p.since
	}
	p.unasked = false
	r.policy.arrive(a.function, moment(r.now))
	p.priority = r.policy.priority(a.function, moment(r.now), r.clock)
	p.seen, p.busy = r.now, max(p.busy, r.now+a.duration)
	if p.resting {
		return
	}
	p.version++ // a plan there was is void
	p.resting = true
	r.later(a.function, p.busy+r.planDelay(), rest)
}

// planDelay is the time from the last request of an instance to the plan for it.
func (r *replay) planDelay() time.Duration {
	if r.trace.coarse {
		return 0
	}
	return settle
}

// do does one due action.
func (r *replay) do(d due) {
	f, p := d.function, &r.places[d.function]
	switch d.action {
	case rest:
		if at := p.busy + r.planDelay(); at > r.now {
			r.later(f, at, rest)
			return
		}
		p.resting = false
		r.follow(f, r.policy.keep(f, moment(r.now)))
	case stop:
		if begins := r.instant(p.plan.PrewarmAt, false); !p.plan.PrewarmAt.IsZero() && begins <= r.now {
			p.plan.KeepUntil, p.plan.PrewarmAt = p.plan.PrewarmUntil, time.Time{}
			r.later(f, r.instant(p.plan.KeepUntil, true), stop)
			return
		}
		r.stop(f)
		r.absent(f)
	case begin:
		if r.bound > 0 && r.used+r.trace.functions[f].memory > r.bound {
			return // others need it more
		}
		r.start(f)
		p.unasked = true
		p.priority = r.policy.priority(f, moment(r.now), r.clock)
		r.out.prewarms++
		until := p.plan.PrewarmUntil
		p.plan = autoscale.Plan{KeepUntil: until}
		r.later(f, r.instant(until, true), stop)
	}
}

// follow notes a plan for an instance that rests.
func (r *replay) follow(f int, plan autoscale.Plan) {
	r.places[f].plan = plan
	r.later(f, r.instant(plan.KeepUntil, true), stop)
}

// absent records the time of the next prewarm.
func (r *replay) absent(f int) {
	p := &r.places[f]
	if p.plan.PrewarmAt.IsZero() {
		p.plan = r.policy.prewarm(f, moment(r.now))
	}
	if !p.plan.PrewarmAt.IsZero() {
		r.later(f, r.instant(p.plan.PrewarmAt, false), begin)
	}
}

func (r *replay) start(f int) {
	p := &r.places[f]
	r.makeRoom(f)
	p.alive, p.since = true, r.now
	r.used += r.trace.functions[f].memory
}

func (r *replay) stop(f int) {
	p := &r.places[f]
	if p.unasked {
		r.out.wasted++
		r.out.ahead += r.now - p.since
	}
	p.alive, p.unasked, p.resting = false, false, false
	p.version++
	r.out.warm += r.now - p.since
	r.out.begun += int((r.now-p.since)/time.Minute) + 1
	r.used -= r.trace.functions[f].memory
}

// makeRoom evicts idle instances until f's instance fits into memory.
func (r *replay) makeRoom(f int) {
	need := r.used + r.trace.functions[f].memory - r.bound
	if r.bound == 0 || need <= 0 {
		return
	}
	var idle []int
	var residents []autoscale.Resident
	for i := range r.places {
		if p := &r.places[i]; p.alive && p.busy <= r.now && p.seen < r.now {
			idle = append(idle, i)
			residents = append(residents, autoscale.Resident{
				Priority: p.priority, Memory: r.trace.functions[i].memory, Since: moment(p.seen),
			})
		}
	}
	chosen, clock, ok := autoscale.Evict(residents, need, r.clock)
	r.clock = clock
	if !ok {
		r.out.over++
	}
	for _, i := range chosen {
		r.stop(idle[i]) // and its next arrival gets no prewarm
		r.out.evicted++
	}
}

// moment is a time of the trace as one of the world.
func moment(at time.Duration) time.Time { return time.Unix(1, 0).Add(at) }

// instant converts a time of the world to a time of the trace; a coarse trace has
// whole minutes, which contain the planned time.
func (r *replay) instant(at time.Time, up bool) time.Duration {
	d := max(r.now, at.Sub(moment(0)))
	switch {
	case !r.trace.coarse:
		return d
	case up:
		return (d + time.Minute - 1).Truncate(time.Minute)
	}
	return d.Truncate(time.Minute)
}

// count sums up.
func (r *replay) count() *outcome {
	o := &r.out
	for _, p := range r.places {
		if p.requests == 0 {
			continue
		}
		o.requests += p.requests
		o.colds += p.colds
		o.shares = append(o.shares, 100*float64(p.colds)/float64(p.requests))
		if r.trace.coarse {
			o.warm += time.Minute // the first of each function
		}
	}
	slices.Sort(o.shares)
	return o
}
