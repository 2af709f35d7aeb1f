package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// roster holds the projects, functions, revisions and instances of a fleet, and the
// resources that they hold together. The fleet's mutex guards it. Its methods decide
// and keep count: they start and stop no process and take no lock;
// [Fleet.unlock] does so after a change.
type roster struct {
	o         Options
	revisions map[lateen.FunctionKey]*revision
	instances map[*instance]struct{} // of all revisions
	projects  map[lateen.ProjectID]*project
	teams     map[lateen.TeamID]*team
	known     recency

	total         int   // running or starting instances; without the leaving ones that have no requests left
	memory        int64 // bytes that these instances are known to hold
	attempts      int   // running starts that count against Options.Starts
	starts        startQueue
	evictionClock float64          // clock of [autoscale.Evict]
	prewarms      autoscale.Budget // budget of starts that no request triggered, all projects together

	cpu        cpuTime
	cpuWaiters []*revision // revisions with free places whose waiting requests lack CPU time

	retired   []*instance // instances that were retired since the last [Fleet.unlock]
	startsDue bool        // there may be capacity for a queued start that there was none for before
}

func newRoster(o Options) roster {
	return roster{
		o: o, cpu: cpuTime{Load: measure.Load{Processors: o.Processors}},
		revisions: map[lateen.FunctionKey]*revision{}, instances: map[*instance]struct{}{}, projects: map[lateen.ProjectID]*project{}, teams: map[lateen.TeamID]*team{},
	}
}

// functionOf returns the statistics of a function, creating them if necessary.
func (r *roster) functionOf(id lateen.ProjectID, name string) *function {
	pr := r.projects[id]
	if pr == nil {
		pr = &project{id: id, team: &team{}, weight: 1, functions: map[string]*function{}}
		r.projects[id] = pr
	}
	fn := pr.functions[name]
	if fn == nil {
		fn = &function{project: pr, name: name}
		pr.functions[name] = fn
		r.known.touch(fn)
		r.expire()
	}
	return fn
}

// expire removes the functions whose last request is the oldest, if there are
// more than Options.Functions. Functions with revisions stay.
func (r *roster) expire() {
	for fn := range r.known.all {
		if r.known.n <= r.o.Functions {
			return
		}
		if len(fn.revisions) > 0 || fn == r.known.newest {
			continue
		}
		fn.cancelPlan()
		r.known.remove(fn)
		delete(fn.project.functions, fn.name)
		if len(fn.project.functions) == 0 {
			delete(r.projects, fn.project.id)
		}
	}
}

// revisionOf returns the revision of spec, creating it if necessary. A new one keeps
// the values of ctx, except for the request ID.
func (r *roster) revisionOf(ctx context.Context, spec *lateen.FunctionSpec) *revision {
	if rev := r.revisions[spec.Key]; rev != nil {
		return rev
	}
	fn := r.functionOf(spec.Project, spec.Name)
	t := r.teams[spec.Team]
	if t == nil {
		t = &team{}
		r.teams[spec.Team] = t
	}
	fn.project.join(t)
	ceiling, most := spec.Function.MaxConcurrency, spec.Function.MaxInstances
	ceiling = cmp.Or(ceiling, r.o.Concurrency)
	most = cmp.Or(most, r.o.PerFunction)
	limit := r.o.duration(spec.Function.MaxDuration)
	rev := &revision{
		function: fn, spec: *spec, ctx: lateen.WithRequestID(context.WithoutCancel(ctx), ""),
		duration: limit, overdue: lateen.ErrFunctionTimeout.With("the function did not respond within its %s", limit),
		ceiling: ceiling, most: min(most, r.o.PerFunction),
	}
	r.revisions[spec.Key] = rev
	fn.revisions = append(fn.revisions, rev)
	return rev
}

// drop removes rev if it has no instances, starts, waiting requests or minimum
// instances.
func (r *roster) drop(rev *revision) {
	if len(rev.instances)+rev.starting+len(rev.waiting)+rev.minInstances() > 0 || r.revisions[rev.spec.Key] != rev {
		return
	}
	r.starts.remove(rev)
	delete(r.revisions, rev.spec.Key)
	rev.function.revisions = slices.DeleteFunc(rev.function.revisions, func(other *revision) bool { return other == rev })
	if rev.review != nil {
		rev.review.Stop()
	}
}

// arrive records the arrival of a request for rev.
func (r *roster) arrive(rev *revision, now time.Time) {
	fn := rev.function
	fn.learned.History.Observe(now)
	fn.cancelPlan()
	fn.last = rev.spec.Deployment
	r.known.touch(fn)
}

// reason is the reason for which an instance stops.
type reason int

const (
	forced   reason = iota // its requests have Options.Grace to finish
	graceful               // its requests may finish
)

// retire stops inst: it gets no more requests, and ends once those in flight
// are done or their time is over. Waiting requests get another instance.
func (r *roster) retire(inst *instance, why reason) {
	if inst.leaving {
		return
	}
	inst.leaving = true
	inst.tick.Stop()
	inst.revision.active--
	inst.revision.function.project.count(-1)
	inst.patient = why != forced
	r.retired = append(r.retired, inst)
	r.drain(inst)
}

// drain marks a leaving instance without leases as drained, so that it stops.
// It does not count against the bounds any more, since its memory is about to be
// free.
func (r *roster) drain(inst *instance) {
	if inst.inFlight > 0 {
		return
	}
	close(inst.drained)
	r.total--
	r.memory -= inst.held
	if inst.beneficiary != nil {
		inst.beneficiary.yielding--
	}
	r.startsDue = true
}

// recordUsage records a reading of the usage of inst in the statistics of the
// fleet and of the function.
func (r *roster) recordUsage(inst *instance, now time.Time, u engine.Usage) {
	r.cpu.Add(now, u.CPU-inst.meter.Last().CPU)
	r.takeUsage(inst, now, u)
	if !inst.leaving {
		inst.revision.function.learned.Holds(u.Memory)
	}
}

// takeUsage records a reading of the usage of inst, but neither in the current
// use of CPUs, since the reading may cover a long time, nor in the memory after a
// request.
func (r *roster) takeUsage(inst *instance, now time.Time, u engine.Usage) {
	last := inst.meter.Last()
	inst.revision.function.learned.Delayed(u.Ticks-last.Ticks, u.Late-last.Late)
	inst.meter.Take(now, u)
	inst.interval.Extend(&inst.meter)
	if u.Memory > 0 && !inst.leaving {
		r.memory += u.Memory - inst.held
		inst.held = u.Memory
	}
}
