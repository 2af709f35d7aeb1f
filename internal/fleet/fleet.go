// Package fleet leases an instance for an invocation: it finds one with room,
// starts one where waiting would cost more, holds requests meanwhile, lets idle
// ones rest and stops them. What it decides is in internal/autoscale; this
// package knows who there is, and acts.
package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/rounds"
)

// Options says what a fleet may use. All bounds are ceilings: what a function
// gets below them is learned.
type Options struct {
	Engine engine.Engine
	Log    *slog.Logger // nil discards
	// Lines takes what is said of requests that got no answer. nil: nothing is.
	Lines engine.LogSink

	// Concurrency is how many requests one instance takes at once at most,
	// where the function does not say; 0 is 64.
	Concurrency int
	// Queue is how many requests may wait for one function; 0 is 1000.
	// ProjectQueue is the same for all functions of a project; 0 is four times
	// that. Past either the answer is [lateen.ErrFunctionThrottled] at once.
	Queue, ProjectQueue int
	// PerFunction bounds the instances of one function; 0 is 16.
	PerFunction int
	// Total bounds all instances together; 0 is 128. At the bound an idle one
	// makes room, or one of the project that has most. An eighth more is kept for
	// teams without instances; half of that serves projects without instances of
	// other teams.
	Total int
	// Memory bounds what all instances hold together, in bytes, as far as is
	// known, with the same reserve; 0 is no bound.
	Memory int64
	// Processors is how many there are for functions; 0 is those of the host.
	Processors float64
	// Starts bounds the starts that go on at once; 0 is two for each processor.
	// One that takes longer than a second does not count any more.
	Starts int

	// Policy says how long idle instances are kept, and Idle when they freeze.
	Policy autoscale.Policy
	Idle   autoscale.Idle
	// KeepAlive keeps every idle instance for the same time and starts none
	// ahead; 0 learns it for each function.
	KeepAlive time.Duration
	// Functions is how many functions are remembered that have no instance;
	// 0 is 50,000. Each takes about a KiB.
	Functions int
	// Histories is the file that keeps what is learned across restarts; ""
	// forgets.
	Histories string

	// StartTimeout bounds one attempt to start an instance; 0 is 30 seconds.
	StartTimeout time.Duration
	// Grace is how long requests in flight may go on when their instance is
	// bound to go, because the platform stops or their deployment is deleted;
	// 0 is 30 seconds. Where it only makes room they may end.
	Grace time.Duration
	// Duration is the time an invocation may take where the function does not
	// say; 0 is 300 seconds. MaxDuration is the most it may ask for; 0 is 3600
	// seconds.
	Duration, MaxDuration time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.Queue = cmp.Or(o.Queue, 1000)
	o.ProjectQueue = cmp.Or(o.ProjectQueue, 4*o.Queue)
	o.PerFunction = cmp.Or(o.PerFunction, 16)
	o.Total = cmp.Or(o.Total, 128)
	o.Processors = cmp.Or(o.Processors, float64(runtime.GOMAXPROCS(0)))
	o.Starts = cmp.Or(o.Starts, max(1, int(2*o.Processors)))
	o.Idle.Freeze = cmp.Or(o.Idle.Freeze, 300*time.Millisecond)
	o.Functions = cmp.Or(o.Functions, 50_000)
	o.StartTimeout = cmp.Or(o.StartTimeout, 30*time.Second)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Duration = cmp.Or(o.Duration, 300*time.Second)
	o.MaxDuration = cmp.Or(o.MaxDuration, time.Hour)
	return o
}

// Fleet is every instance there is, by function.
type Fleet struct {
	o        Options
	prepares *rounds.Line[lateen.ProjectID, lateen.FunctionSpec]
	work     sync.WaitGroup            // starts, steps of rest and stops under way
	closed   chan struct{}             // closed when Run's context ends
	hastened atomic.Pointer[time.Time] // see Hasten; nil: it has the grace

	mu        sync.Mutex      // guards below
	ctx       context.Context //nolint:containedctx // of Run, without its end: for starts nobody asked for; nil before
	pools     map[lateen.FunctionKey]*pool
	projects  map[lateen.ProjectID]*project
	teams     map[lateen.TeamID]*team
	known     recency
	total     int              // instances that are there or starting; not those about to end
	memory    int64            // bytes they hold, as far as is known
	attempts  int              // starts under way that count
	pumping   bool             // somebody begins them already
	line      []*pool          // that want to start instances, first come first
	gated     []*pool          // with room but no processor time for those who wait
	load      float64          // processors that the requests under way use, as far as is known
	usage     usage            // of processors, by measure
	looking   bool             // at it, from time to time
	weights   int              // of the projects with requests, together
	turn      rounds.Clock     // of projects, by processor time
	dual      float64          // the clock of [autoscale.Evict]
	ahead     autoscale.Budget // of starts nobody asked for
	preparing map[lateen.FunctionKey]struct{}
	early     map[lateen.ProjectID]production // of Produce before Run
	ended     bool
}

// New returns a fleet without instances.
func New(o Options) *Fleet {
	return &Fleet{
		o: o.withDefaults(), closed: make(chan struct{}), prepares: rounds.New[lateen.ProjectID, lateen.FunctionSpec](maxPrepares),
		pools: map[lateen.FunctionKey]*pool{}, projects: map[lateen.ProjectID]*project{}, teams: map[lateen.TeamID]*team{},
		preparing: map[lateen.FunctionKey]struct{}{}, early: map[lateen.ProjectID]production{},
	}
}

// Run keeps the fleet until ctx ends, then stops every instance and returns
// once all are gone.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = context.WithoutCancel(ctx)
	f.mu.Unlock()
	f.recall()
	f.produceEarly()
	var background sync.WaitGroup
	background.Go(func() { f.prepare(ctx) })
	background.Go(func() { f.remember(ctx) })
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	close(f.closed)
	for _, p := range f.pools {
		f.refuseLocked(p, errEnding, 0)
		for _, m := range p.members {
			f.retireLocked(m, forced)
		}
	}
	for fn := range f.known.all {
		fn.cancelPlan()
	}
	f.mu.Unlock()
	f.work.Wait()
	background.Wait()
	return nil
}

// Hasten has whatever is bound to go from now on go by then, even if its grace
// lasts longer: others wait for Run to return.
func (f *Fleet) Hasten(then time.Time) { f.hastened.Store(&then) }

// Forget stops every instance of a deployment, which is deleted, once the
// requests are done that it has or that wait for one.
func (f *Fleet) Forget(d lateen.DeploymentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pools {
		if p.spec.Deployment != d {
			continue
		}
		p.forgotten = true
		for _, m := range p.members {
			f.retireLocked(m, forced)
		}
		f.dropLocked(p)
	}
	for fn := range f.known.all {
		if fn.next != nil && fn.next.Deployment == d {
			fn.cancelPlan()
		}
	}
}

var errEnding = lateen.ErrFunctionStart.With("the platform is shutting down")
