package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// Stats counts the instances and the requests of a fleet.
type Stats struct {
	Functions int // functions of one deployment with a running or starting instance
	Running   int
	Starting  int // running or queued starts
	Frozen    int // frozen instances; they count as running, too
	InFlight  int // invocations in flight
	Waiting   int
	Memory    int64 // bytes that instances are known to hold
	Known     int   // functions with statistics
}

// Stats returns the current state of the fleet.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Memory: f.memory, Known: f.known.n}
	for _, rev := range f.revisions {
		if len(rev.instances)+rev.starting > 0 {
			s.Functions++
		}
		s.Running += len(rev.instances)
		s.Starting += rev.starting + rev.wanted
		s.Waiting += len(rev.waiting)
		for _, inst := range rev.instances {
			s.InFlight += inst.inFlight
			if inst.frozen {
				s.Frozen++
			}
		}
	}
	return s
}

// Functions returns the state of the functions of a project that have had requests
// or prewarms and have not been forgotten; "" is all projects. The order is by
// project, name and deployment, the newest deployment first.
func (f *Fleet) Functions(of lateen.ProjectID) []lateen.FunctionState {
	now := time.Now()
	states := []lateen.FunctionState{}
	var prospects []prospect
	f.mu.Lock()
	for id, pr := range f.projects {
		if of != "" && id != of {
			continue
		}
		for _, fn := range pr.functions {
			states = f.states(states, fn)
			prospects = append(prospects, prospect{fn.learned.History, fn.learned.Costs(), len(states)})
		}
	}
	f.mu.Unlock()
	from := 0
	for i := range prospects {
		p := &prospects[i]
		kept := f.o.keepAlive(&p.history, p.costs, now)
		for ; from < p.until; from++ {
			states[from].KeepAlive = kept
		}
	}
	slices.SortFunc(states, func(a, b lateen.FunctionState) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Function, b.Function), -cmp.Compare(a.Deployment, b.Deployment))
	})
	return states
}

// prospect holds the inputs for the keep-alive time of a function. The computation
// takes too long to hold the fleet's mutex meanwhile.
type prospect struct {
	history autoscale.History
	costs   autoscale.Costs
	until   int // end of the function's states in the list of all
}

// states appends the states of a function: one for each revision, or one if it
// has no revision.
func (r *roster) states(states []lateen.FunctionState, fn *function) []lateen.FunctionState {
	known := lateen.FunctionState{
		Project: fn.project.id, Deployment: fn.last, Function: fn.name, Instances: []lateen.InstanceState{},
		Limit: fn.learned.Limit.At(r.o.Concurrency), MaxLimit: r.o.Concurrency, MaxInstances: r.o.PerFunction,
		StartTime: fn.learned.Start, Service: fn.learned.Service, CPU: fn.learned.CPUTime(), Delay: fn.learned.Delay(),
		Memory: cmp.Or(fn.learned.ActiveMemory, fn.learned.IdleMemory), Starts: fn.latency.States(),
	}
	if last := fn.learned.History.Last(); !last.IsZero() {
		known.LastAsked = lateen.Millis(last.UnixMilli())
	}
	if fn.next != nil {
		known.PrewarmAt = lateen.Millis(fn.plan.PrewarmAt.UnixMilli())
	}
	if len(fn.revisions) == 0 {
		return append(states, known)
	}
	for _, rev := range fn.revisions {
		states = append(states, rev.state(known))
	}
	return states
}

// state returns s, the state of the function, with the values of rev added.
func (rev *revision) state(s lateen.FunctionState) lateen.FunctionState {
	s.Deployment, s.Runtime = rev.spec.Deployment, rev.spec.Function.Runtime
	s.Limit, s.MaxLimit = rev.function.learned.Limit.At(rev.ceiling), rev.ceiling
	s.MinInstances, s.MaxInstances = rev.minInstances(), rev.most
	s.Starting, s.Waiting = rev.starting+rev.wanted, len(rev.waiting)
	s.Instances = make([]lateen.InstanceState, 0, len(rev.instances))
	for _, inst := range rev.instances {
		s.InFlight += inst.inFlight
		s.Instances = append(s.Instances, lateen.InstanceState{
			ID: inst.process.ID(), Phase: inst.phase(), Start: inst.process.Started().Kind, Since: lateen.Millis(inst.since.UnixMilli()),
			InFlight: inst.inFlight, Requests: inst.requests, CPU: inst.meter.Last().CPU, Memory: inst.held,
		})
	}
	return s
}
