package fleet

import (
	"cmp"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// function is what is known of a project's function of one name, whichever
// deployment it is asked of: what it does does not change with each of them.
// Its fields are guarded by the fleet's mutex.
type function struct {
	project *project
	name    string

	history  autoscale.History
	limit    autoscale.Limit
	start    time.Duration // of an instance, of late; 0 is not known
	service  time.Duration // that a request holds its place, of late; 0 is not known
	cpu      float64       // seconds that a request uses, of late
	quickest float32       // seconds that one takes to be answered at best, of late; 0 is not known
	vain     float32       // processors that one uses which has no answer, of late; one that has is counted with none
	delay    float32       // seconds that its event loop is late, of late
	resting  int64         // bytes that an instance holds when it rests, of late
	holding  int64         // and after a request
	latency  latencies

	pools []*pool             // deployments that have instances or want some
	last  lateen.DeploymentID // that was asked

	next    *lateen.FunctionSpec // to start ahead of its next request; nil is none
	plan    autoscale.Plan
	planned *time.Timer

	newer, older *function // in the order in which they were asked
}

// need is how many processors a request uses while nothing holds it up, as far
// as is known.
func (fn *function) need() float64 {
	if fn.quickest == 0 {
		return float64(fn.vain)
	}
	return max(min(1, fn.cpu/float64(fn.quickest)), float64(fn.vain))
}

// learnVain draws the conclusion from a request that had no answer in the time
// it took: it was cut off, or its instance died.
func (fn *function) learnVain(cpu, took time.Duration) {
	if took < leastTook {
		return // it may not have begun
	}
	used := float32(min(1, cpu.Seconds()/took.Seconds()))
	if fn.quickest == 0 && fn.vain == 0 {
		fn.vain = used
		return
	}
	fn.vain += (used - fn.vain) / 8
}

// learnDelay takes note of how late so many timers of an instance's event loop
// were, together.
func (fn *function) learnDelay(ticks float64, late time.Duration) {
	if !(ticks > 0) || late < 0 {
		return // nothing was said since, or what was said is older than what is known
	}
	fn.limit.Delayed(ticks, late)
	fn.delay += (float32(late.Seconds()/ticks) - fn.delay) / 8
}

// leastTook is a time over which processor time can be measured.
const leastTook = 10 * time.Millisecond

// costs are what an instance costs, as [autoscale.Policy] wants to know.
func (fn *function) costs() autoscale.Costs {
	return autoscale.Costs{Start: fn.start, Memory: fn.resting}
}

// costsAt are the costs of an instance where so many others rest that are asked
// before it: the spare of a spare is worth half.
func (fn *function) costsAt(rank int) autoscale.Costs {
	c := fn.costs()
	c.Start = cmp.Or(c.Start, time.Second)
	c.Start >>= min(rank, 20)
	return c
}

// cancelPlan forgets about starting an instance ahead.
func (fn *function) cancelPlan() {
	if fn.next != nil {
		fn.planned.Stop()
		fn.next, fn.planned, fn.plan = nil, nil, autoscale.Plan{}
	}
}

// arriveLocked learns that somebody asks for p.
func (f *Fleet) arriveLocked(p *pool, now time.Time) {
	fn := p.function
	fn.history.Observe(now)
	fn.cancelPlan()
	fn.last = p.spec.Deployment
	f.known.touch(fn)
}

// learnLocked draws the conclusions from a request to p that was answered.
func (f *Fleet) learnLocked(p *pool, l *lease, inv *lateen.Invocation, v verdict, now time.Time) {
	fn, m := p.function, l.member
	fn.vain -= fn.vain / 8
	fn.latency.add(v.start, v.waited+v.answered)
	fn.limit.Observe(autoscale.Answered{
		At: now, Took: v.answered, Company: max(l.company, m.inFlight+1), Full: l.full || len(p.waiting) > 0 && !p.gated, Load: m.meter.rate,
		Hindered: f.attempts > 0 || f.shortLocked(now), CPU: seconds(fn.cpu),
	}, p.ceiling)
	if took := float32(v.answered.Seconds()); fn.quickest == 0 || took < fn.quickest || !f.shortLocked(now) { // or it says how busy the processors are
		fn.quickest = towards(fn.quickest, took)
	}
	if v.streams {
		return
	}
	fn.service = approach(fn.service, now.Sub(l.taken))
	if inv.CPU > 0 {
		fn.cpu = approach(fn.cpu, inv.CPU.Seconds())
	}
}

// approach moves a mean an eighth of the way, and starts it.
func approach[T time.Duration | int64 | float64](mean, value T) T {
	if mean == 0 {
		return value
	}
	return mean + (value-mean)/8
}

// towards moves what was best towards a value: half the way down, but hardly up.
func towards(best, value float32) float32 {
	switch {
	case best == 0:
		return value
	case value < best:
		return best + (value-best)/2
	}
	return best + (value-best)/256
}

// functionLocked returns what is known of the function of spec, beginning if need be.
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

// forgetLocked forgets the functions that were asked longest ago, where too
// many are known. Those that have instances stay.
func (f *Fleet) forgetLocked() {
	for fn := range f.known.all {
		if f.known.n <= f.o.Functions {
			return
		}
		if len(fn.pools) > 0 || fn == f.known.newest {
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

// recency is functions in the order in which they were asked.
type recency struct {
	newest, oldest *function
	n              int
}

// all yields the functions, the longest ago first; the one it is at may be removed.
func (r *recency) all(yield func(*function) bool) {
	for fn := r.oldest; fn != nil; {
		next := fn.newer
		if !yield(fn) {
			return
		}
		fn = next
	}
}

// touch makes fn the newest, adding it if need be.
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

// remove takes fn out.
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
