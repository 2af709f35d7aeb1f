package fleet

import (
	"cmp"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// function holds the learned statistics of one function of a project. All
// deployments share them, since the behavior of a function seldom changes with a
// deployment. The fleet's mutex guards the fields.
type function struct {
	project *project
	name    string

	history       autoscale.History
	limit         autoscale.Limit
	start         time.Duration // moving average of the start time of an instance; 0 is unknown
	service       time.Duration // moving average of the time that a request holds its place; 0 is unknown
	cpu           float64       // moving average of the CPU seconds of a request
	quickest      float32       // recent minimum of the seconds until the first byte of a response; 0 is unknown
	unansweredCPU float32       // moving average of the CPUs used by a request that ends without a response; answered requests count as 0
	delay         float32       // moving average of the delay of the event loop, in seconds
	idleMemory    int64         // moving average of the bytes that an idle instance holds
	activeMemory  int64         // moving average of the bytes that an instance holds after a request
	latency       latencies

	revisions []*revision         // revisions with instances, starts or waiting requests
	last      lateen.DeploymentID // deployment of the last request

	next    *lateen.FunctionSpec // function to start before its next expected request; nil is none
	plan    autoscale.Plan
	planned *time.Timer

	newer, older *function // neighbors in the order of the last request
}

// need returns the number of CPUs that a request is expected to use while it is not
// held up.
func (fn *function) need() float64 {
	if fn.quickest == 0 {
		return float64(fn.unansweredCPU)
	}
	return max(min(1, fn.cpu/float64(fn.quickest)), float64(fn.unansweredCPU))
}

// learnUnanswered learns from a request that got no response because it was cut off
// or its instance ended. cpu is its CPU time and took its duration.
func (fn *function) learnUnanswered(cpu, took time.Duration) {
	if took < leastTook {
		return // the request may not have begun
	}
	used := float32(min(1, cpu.Seconds()/took.Seconds()))
	if fn.quickest == 0 && fn.unansweredCPU == 0 {
		fn.unansweredCPU = used
		return
	}
	fn.unansweredCPU += (used - fn.unansweredCPU) / 8
}

// learnDelay records that ticks timers of an instance's event loop were late by the
// sum late.
func (fn *function) learnDelay(ticks float64, late time.Duration) {
	if !(ticks > 0) || late < 0 {
		return // nothing was reported since, or the report is older than the last one
	}
	fn.limit.Delayed(ticks, late)
	fn.delay += (float32(late.Seconds()/ticks) - fn.delay) / 8
}

// leastTook is the shortest duration over which CPU time can be measured.
const leastTook = 10 * time.Millisecond

// costs returns the costs of an instance for [autoscale.Policy].
func (fn *function) costs() autoscale.Costs {
	return autoscale.Costs{Start: fn.start, Memory: fn.idleMemory}
}

// costsAt returns the costs of an instance that gets requests only after rank other
// idle instances: each further standby instance is worth half of the one before it.
func (fn *function) costsAt(rank int) autoscale.Costs {
	c := fn.costs()
	c.Start = cmp.Or(c.Start, time.Second)
	c.Start >>= min(rank, 20)
	return c
}

// cancelPlan cancels the scheduled start of an instance.
func (fn *function) cancelPlan() {
	if fn.next != nil {
		fn.planned.Stop()
		fn.next, fn.planned, fn.plan = nil, nil, autoscale.Plan{}
	}
}

// arriveLocked records the arrival of a request for rev.
func (f *Fleet) arriveLocked(rev *revision, now time.Time) {
	fn := rev.function
	fn.history.Observe(now)
	fn.cancelPlan()
	fn.last = rev.spec.Deployment
	f.known.touch(fn)
}

// learnLocked learns from an answered request of rev.
func (f *Fleet) learnLocked(rev *revision, l *lease, inv *lateen.Invocation, out outcome, now time.Time) {
	fn, inst := rev.function, l.instance
	fn.unansweredCPU -= fn.unansweredCPU / 8
	fn.latency.add(out.start, out.waited+out.answered)
	fn.limit.Observe(autoscale.Answered{
		At: now, Took: out.answered, Company: max(l.concurrency, inst.inFlight+1), Full: l.full || len(rev.waiting) > 0 && !rev.waitsForCPU, Load: inst.meter.rate,
		Hindered: f.attempts > 0 || f.shortLocked(now), CPU: seconds(fn.cpu),
	}, rev.ceiling)
	if took := float32(out.answered.Seconds()); fn.quickest == 0 || took < fn.quickest || !f.shortLocked(now) { // otherwise the time would tell how busy the CPUs are
		fn.quickest = towards(fn.quickest, took)
	}
	if out.streams {
		return
	}
	fn.service = approach(fn.service, now.Sub(l.taken))
	if inv.CPU > 0 {
		fn.cpu = approach(fn.cpu, inv.CPU.Seconds())
	}
}

// approach moves a moving average by an eighth towards value; the first value
// becomes the average.
func approach[T time.Duration | int64 | float64](mean, value T) T {
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

// functionLocked returns the statistics of a function, creating them if necessary.
func (f *Fleet) functionLocked(id lateen.ProjectID, name string) *function {
	pr := f.projects[id]
	if pr == nil {
		pr = &project{id: id, team: &team{}, weight: 1, functions: map[string]*function{}}
		f.projects[id] = pr
	}
	fn := pr.functions[name]
	if fn == nil {
		fn = &function{project: pr, name: name}
		pr.functions[name] = fn
		f.known.touch(fn)
		f.forgetLocked()
	}
	return fn
}

// forgetLocked removes the functions whose last request is the oldest, if there are
// more than Options.Functions. Functions with revisions stay.
func (f *Fleet) forgetLocked() {
	for fn := range f.known.all {
		if f.known.n <= f.o.Functions {
			return
		}
		if len(fn.revisions) > 0 || fn == f.known.newest {
			continue
		}
		fn.cancelPlan()
		f.known.remove(fn)
		delete(fn.project.functions, fn.name)
		if len(fn.project.functions) == 0 {
			delete(f.projects, fn.project.id)
		}
	}
}

// recency lists functions in the order of their last request.
type recency struct {
	newest, oldest *function
	n              int
}

// all yields the functions, the oldest first; the loop body may remove the current
// one.
func (r *recency) all(yield func(*function) bool) {
	for fn := r.oldest; fn != nil; {
		next := fn.newer
		if !yield(fn) {
			return
		}
		fn = next
	}
}

// touch makes fn the newest, adding it if necessary.
func (r *recency) touch(fn *function) {
	if r.newest == fn {
		return
	}
	if fn.newer != nil || fn.older != nil {
		r.remove(fn)
	}
	fn.older, fn.newer = r.newest, nil
	if r.newest != nil {
		r.newest.newer = fn
	} else {
		r.oldest = fn
	}
	r.newest = fn
	r.n++
}

// remove removes fn from the list.
func (r *recency) remove(fn *function) {
	if fn.newer != nil {
		fn.newer.older = fn.older
	} else {
		r.newest = fn.older
	}
	if fn.older != nil {
		fn.older.newer = fn.newer
	} else {
		r.oldest = fn.newer
	}
	fn.newer, fn.older = nil, nil
	r.n--
}
