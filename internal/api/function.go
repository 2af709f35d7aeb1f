package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Functions reports the state of functions.
type Functions interface {
	// Functions returns the instances, requests and queues of a project's functions,
	// of all deployments that had a request. It never blocks.
	Functions(project lateen.ProjectID) []lateen.FunctionState
	// Prepared returns the preparation of a function for faster starts, also without
	// any request so far; nil if its runtime has none.
	Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation
}

// functionState is a function of a project: one of production, or one of another
// deployment with instances.
type functionState struct {
	lateen.FunctionState

	Production  bool     `json:"production"`            // whether it belongs to the production deployment
	Paths       []string `json:"paths"`                 // paths of the function; empty outside of production
	MemoryLimit int      `json:"memoryLimit,omitempty"` // MiB; 0 is unknown
	MaxDuration int      `json:"maxDuration,omitempty"` // seconds; 0 is unknown
}

// FunctionLimits are the platform's limits for functions, for those that do not set
// their own. Zero values are unknown.
type FunctionLimits struct {
	Memory                int // MiB
	Duration, MaxDuration time.Duration
}

// of returns the limits of a function: its memory in MiB and the seconds of an
// invocation, 0 if they are unknown.
func (l *FunctionLimits) of(f *lateen.Function) (memory, seconds int) {
	longest := int(l.MaxDuration / time.Second)
	switch seconds = f.MaxDuration; {
	case seconds < 0:
		seconds = longest
	case seconds == 0:
		seconds = min(int(l.Duration/time.Second), longest)
	case longest > 0:
		seconds = min(seconds, longest)
	}
	return cmp.Or(f.Memory, l.Memory), seconds
}

type functionsReply struct {
	Functions []functionState `json:"functions"`
}

func listFunctions(a *API, r *http.Request, _ *none) (*functionsReply, error) {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	manifest := &lateen.Manifest{}
	if p.Production != "" {
		_, m, err := a.Control.Manifest(r.Context(), string(p.Production))
		if err != nil {
			return nil, err
		}
		if m != nil {
			manifest = m
		}
	}
	var known []lateen.FunctionState
	if a.Functions != nil {
		known = a.Functions.Functions(p.ID)
	}
	states := statesOf(p, manifest, known, &a.FunctionLimits)
	for i := range states {
		if s := &states[i]; a.Functions != nil {
			s.Preparation = a.Functions.Prepared(lateen.NewFunctionKey(s.Deployment, s.Function), s.Runtime)
		}
	}
	return &functionsReply{Functions: states}, nil
}

// statesOf combines the functions of production with their known states, and adds
// the running functions of other deployments.
func statesOf(p *lateen.Project, m *lateen.Manifest, known []lateen.FunctionState, limits *FunctionLimits) []functionState {
	out := make([]functionState, 0, len(m.Functions)+len(known))
	for name, fn := range m.Functions {
		memory, seconds := limits.of(&fn)
		out = append(out, functionState{
			FunctionState: productionState(p, name, known), Production: true, Paths: pathsTo(m, name),
			MemoryLimit: memory, MaxDuration: seconds,
		})
		out[len(out)-1].Runtime = fn.Runtime
	}
	for _, s := range known {
		if s.Deployment != p.Production && busy(&s) {
			out = append(out, functionState{FunctionState: listed(s), Paths: []string{}})
		}
	}
	slices.SortFunc(out, func(a, b functionState) int {
		if a.Production != b.Production {
			if a.Production {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Function, b.Function), strings.Compare(string(b.Deployment), string(a.Deployment)))
	})
	return out
}

// productionState returns the state of production's function with a name.
// Measurements of the same function in earlier deployments apply to it.
func productionState(p *lateen.Project, name string, known []lateen.FunctionState) lateen.FunctionState {
	state := lateen.FunctionState{}
	for _, s := range known {
		if s.Function != name {
			continue
		}
		state = s
		if s.Deployment == p.Production {
			return listed(state)
		}
	}
	state.Project, state.Deployment, state.Function = p.ID, p.Production, name
	state.Instances, state.Starting, state.InFlight, state.Waiting = nil, 0, 0, 0 // those of another deployment
	return listed(state)
}

// listed returns s with empty lists instead of nil.
func listed(s lateen.FunctionState) lateen.FunctionState {
	if s.Instances == nil {
		s.Instances = []lateen.InstanceState{}
	}
	if s.Starts == nil {
		s.Starts = []lateen.StartState{}
	}
	return s
}

func busy(s *lateen.FunctionState) bool { return len(s.Instances)+s.Starting+s.Waiting > 0 }

// pathsTo returns the outputs that lead to a function, sorted.
func pathsTo(m *lateen.Manifest, function string) []string {
	paths := []string{}
	for path, name := range m.Outputs {
		if name == function {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
