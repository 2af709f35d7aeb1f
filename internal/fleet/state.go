package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// Stats counts the instances and what waits for them.
type Stats struct {
	Functions int // that have an instance, running or starting
	Running   int
	Starting  int // or in line to
	Frozen    int // of those running
	InFlight  int // invocations under way
	Waiting   int
	Memory    int64 // bytes that instances hold, as far as is known
	Known     int   // functions of which something is known
}

// Stats returns the state of the fleet now.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Memory: f.memory, Known: f.known.n}
	for _, p := range f.pools {
		if len(p.members)+p.starting > 0 {
			s.Functions++
		}
		s.Running += len(p.members)
		s.Starting += p.starting + p.wanted
		s.Waiting += len(p.waiting)
		for _, m := range p.members {
			s.InFlight += m.inFlight
			if m.frozen {
				s.Frozen++
			}
		}
	}
	return s
}

// Functions returns what the functions of a project have and do, those that
// were ever asked for and are remembered; "" is all projects. By project, name
// and deployment, the newest first.
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
			states = f.statesLocked(states, fn)
			prospects = append(prospects, prospect{fn.history, fn.costs(), len(states)})
		}
	}
	f.mu.Unlock()
	from := 0
	for i := range prospects {
		p := &prospects[i]
		kept := f.keepAlive(&p.history, p.costs, now)
		for ; from < p.until; from++ {
			states[from].KeepAlive = kept
		}
	}
	slices.SortFunc(states, func(a, b lateen.FunctionState) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Function, b.Function), -cmp.Compare(a.Deployment, b.Deployment))
	})
	return states
}

// Prepared says what makes starts of a function of some runtime cheaper, whether
// or not it was ever asked; see [engine.Engine].
func (f *Fleet) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	return f.o.Engine.Prepared(key, runtime)
}

// prospect is what says how long instances of a function are kept. To work that
// out takes longer than requests are to wait for the fleet.
type prospect struct {
	history autoscale.History
	costs   autoscale.Costs
	until   int // the end of the function's states among all
}

// statesLocked appends the states of a function: one for each deployment that
// has something, or one of none.
func (f *Fleet) statesLocked(states []lateen.FunctionState, fn *function) []lateen.FunctionState {
	known := lateen.FunctionState{
		Project: fn.project.id, Deployment: fn.last, Function: fn.name, Instances: []lateen.InstanceState{},
		Limit: fn.limit.At(f.o.Concurrency), MaxLimit: f.o.Concurrency, MaxInstances: f.o.PerFunction,
		StartTime: fn.start, Service: fn.service, CPU: seconds(fn.cpu), Delay: seconds(float64(fn.delay)),
		Memory: cmp.Or(fn.holding, fn.resting), Starts: fn.latency.states(),
	}
	if last := fn.history.Last(); !last.IsZero() {
		known.LastAsked = lateen.Millis(last.UnixMilli())
	}
	if fn.next != nil {
		known.PrewarmAt = lateen.Millis(fn.plan.PrewarmAt.UnixMilli())
	}
	if len(fn.pools) == 0 {
		return append(states, known)
	}
	for _, p := range fn.pools {
		states = append(states, p.state(known))
	}
	return states
}

// keepAlive is how long an instance is kept after the last request.
func (f *Fleet) keepAlive(h *autoscale.History, c autoscale.Costs, now time.Time) time.Duration {
	if f.o.KeepAlive > 0 {
		return f.o.KeepAlive
	}
	last := h.Last()
	if last.IsZero() {
		last = now
	}
	return max(0, f.o.Policy.Keep(h, last, c).KeepUntil.Sub(last))
}

// state adds what p has to what is known of its function.
func (p *pool) state(s lateen.FunctionState) lateen.FunctionState {
	s.Deployment, s.Runtime = p.spec.Deployment, p.spec.Function.Runtime
	s.Limit, s.MaxLimit = p.function.limit.At(p.ceiling), p.ceiling
	s.MinInstances, s.MaxInstances = p.minimumLocked(), p.most
	s.Starting, s.Waiting = p.starting+p.wanted, len(p.waiting)
	s.Instances = make([]lateen.InstanceState, 0, len(p.members))
	for _, m := range p.members {
		s.InFlight += m.inFlight
		s.Instances = append(s.Instances, lateen.InstanceState{
			ID: m.instance.ID(), Phase: m.phase(), Start: m.instance.Started().Kind, Since: lateen.Millis(m.since.UnixMilli()),
			InFlight: m.inFlight, Requests: m.requests, CPU: m.meter.usage.CPU, Memory: m.held,
		})
	}
	return s
}
