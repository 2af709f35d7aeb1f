package instance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// Group holds the instances of an engine.
type Group struct {
	Shared

	mu  sync.Mutex // guards all
	all map[*Instance]struct{}
}

// Shared are the settings that instances share.
type Shared struct {
	Host  *process.Host
	Burst *pool.Burst
	// Trees returns the directory of a function's files.
	Trees func(ctx context.Context, tree lateen.Digest) (string, error)
	// Purge receives the cache tags that functions invalidate; may be nil.
	Purge func(o datacache.Owner, tags []string, grace time.Duration)
	// Data serves the data cache of deployments; nil: instances cache in their memory.
	Data        *datacache.Server
	LoadTimeout time.Duration
	SampleTime  time.Duration // time limit of a sample request in a training run; 0: 10 s
}

// NewGroup returns a group without instances.
func NewGroup(o Shared) *Group {
	o.SampleTime = cmp.Or(o.SampleTime, sampleTimeout)
	return &Group{Shared: o, all: map[*Instance]struct{}{}}
}

// Add makes a process an instance of a function: load or resume follows.
func (g *Group) Add(ctx context.Context, w *process.Process, o Options) *Instance {
	cpu := w.Sandboxed.CPU()
	if o.Training {
		g.Host.AssignStandby(w, &o.Spec, cpu)
	} else {
		g.Host.ClaimStandby(w, o.Began, cpu)
	}
	i := g.newInstance(ctx, w, o, cpu)
	g.mu.Lock()
	g.all[i] = struct{}{}
	g.mu.Unlock()
	if o.Notice != "" {
		i.LogPlatform(lateen.LevelWarning, o.Notice)
	}
	if !g.Host.Go(i.awaitExit) {
		go i.awaitExit() // returns immediately: the process is being killed
	}
	return i
}

// Unwatched returns an instance on standby that watch does not check; it must get no
// request.
func (g *Group) Unwatched(ctx context.Context, w *process.Process, o Options) *Instance {
	cpu := w.Sandboxed.CPU()
	g.Host.AssignStandby(w, &o.Spec, cpu)
	return g.newInstance(ctx, w, o, cpu)
}

// newInstance returns the instance of a process that has used the CPU time before.
func (g *Group) newInstance(ctx context.Context, w *process.Process, o Options, cpu time.Duration) *Instance {
	f := &o.Spec.Function
	o.Memory = cmp.Or(o.Memory, int64(cmp.Or(f.Memory, g.Host.Memory))<<20)
	o.LoadTimeout = cmp.Or(o.LoadTimeout, g.Host.Scaled(g.LoadTimeout))
	i := &Instance{
		Process: w, group: g, o: o, id: lateen.NewID[lateen.InstanceID]("ins_", time.Now()), bootCPU: cpu,
		loaded: make(chan error, 1), done: make(chan struct{}), Idle: make(chan struct{}),
	}
	source := "function"
	if f.Edge() {
		source = "edge"
	}
	w.Output.Assign(lateen.LogLine{
		Request: lateen.RequestIDFrom(ctx), // while the code loads, log lines belong to the request that waits for the instance
		Project: o.Spec.Project, Deployment: o.Spec.Deployment, Function: o.Spec.Name, Instance: i.id, Source: source,
	})
	return i
}

// remove removes an instance whose process has ended.
func (g *Group) remove(i *Instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, i)
}

// List returns the instances.
func (g *Group) List() []*Instance {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.all))
}
