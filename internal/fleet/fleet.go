// Package fleet leases an instance for each invocation: it finds an instance with a
// free place, starts one if waiting would take longer, queues requests meanwhile,
// and freezes and stops idle instances. The decisions are made in
// internal/autoscale; this package keeps the state and carries them out.
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
	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// Options bounds the resources of a fleet. All bounds are ceilings: the fleet learns
// the values below them for each function.
type Options struct {
	Engine engine.Engine
	Log    *slog.Logger // nil discards
	// Lines receives a log line for each request that got no response. nil discards
	// them.
	Lines engine.LogSink
	// Usage receives the usage of each instance, every 50 seconds and at its end. nil
	// discards it.
	Usage UsageSink

	// Concurrency is the maximum number of concurrent requests in one instance, for
	// functions that do not set their own; 0 is 64.
	Concurrency int
	// Queue is the maximum number of waiting requests of one function; 0 is 1000.
	// ProjectQueue is the maximum for all functions of a project together; 0 is four
	// times Queue. A request past either bound gets [lateen.ErrFunctionThrottled] at
	// once.
	Queue, ProjectQueue int
	// PerFunction is the maximum number of instances of one function; 0 is 16.
	PerFunction int
	// Total is the maximum number of all instances together; 0 is 128. At the bound,
	// a new instance replaces an idle instance or a busy one of the project with the
	// most instances. A reserve of an eighth more is kept for teams without
	// instances; half of the reserve serves projects without instances whose team
	// has some.
	Total int
	// Memory is the maximum of the memory that all instances are known to hold, in
	// bytes, with the same reserve; 0 is no bound.
	Memory int64
	// Processors is the number of CPUs for functions; 0 is the CPUs of the host.
	Processors float64
	// Starts is the maximum number of concurrent starts; 0 is two per CPU. A start
	// counts for its first second only.
	Starts int

	// Policy decides for how long idle instances are kept, and Idle when they are
	// frozen.
	Policy autoscale.Policy
	Idle   autoscale.Idle
	// KeepAlive is a fixed time for which every idle instance is kept, and turns off
	// planned starts; 0 learns the time for each function.
	KeepAlive time.Duration
	// Functions is the maximum number of functions whose statistics are kept; 0 is
	// 50,000. Those with instances are always kept. Each takes about 1 KiB.
	Functions int
	// Histories is the file that keeps the learned statistics across restarts; ""
	// keeps none.
	Histories string

	// StartTimeout bounds one attempt to start an instance; 0 is 30 seconds.
	StartTimeout time.Duration
	// Grace is the time that requests in flight get when their instance has to stop
	// because the platform stops or their deployment is deleted; 0 is 30 seconds.
	// Requests of an instance that is stopped to free capacity may finish.
	Grace time.Duration
	// Duration is the maximum time of an invocation for functions that do not set
	// their own; 0 is 300 seconds. MaxDuration is the highest value that a function
	// can set; 0 is 3600 seconds.
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

// Fleet holds all instances, grouped by function.
type Fleet struct {
	o        Options
	prepares *fairqueue.Line[lateen.ProjectID, lateen.FunctionSpec]
	work     sync.WaitGroup            // running goroutines for starts, freezes, reclaims and stops
	closed   chan struct{}             // closed when Run's context ends
	hastened atomic.Pointer[time.Time] // deadline set by Hasten; nil leaves the full grace

	mu             sync.Mutex      // guards the fields below
	ctx            context.Context //nolint:containedctx // Run's context without its cancellation, for starts that no request triggered; nil before Run
	revisions      map[lateen.FunctionKey]*revision
	projects       map[lateen.ProjectID]*project
	teams          map[lateen.TeamID]*team
	known          recency
	total          int              // running or starting instances; without the leaving ones that have no requests left
	memory         int64            // bytes that these instances are known to hold
	attempts       int              // running starts that count against Options.Starts
	startingQueued bool             // guard against recursion of startQueuedLocked
	startQueue     []*revision      // revisions that want to start instances, in order of arrival
	cpuWaiters     []*revision      // revisions with free places whose waiting requests lack CPU time
	load           float64          // CPUs that the requests in flight are expected to use
	usage          usage            // measured use of CPUs
	sampling       bool             // a periodic measurement is scheduled
	weights        int              // sum over the projects with requests
	cpuClock       fairqueue.Clock  // order of the projects by CPU time
	evictionClock  float64          // clock of [autoscale.Evict]
	prewarms       autoscale.Budget // budget of starts that no request triggered, all projects together
	preparing      map[lateen.FunctionKey]struct{}
	early          map[lateen.ProjectID]production // calls of Produce before Run
	ended          bool
}

// New returns a fleet without instances.
func New(o Options) *Fleet {
	return &Fleet{
		o: o.withDefaults(), closed: make(chan struct{}), prepares: fairqueue.New[lateen.ProjectID, lateen.FunctionSpec](maxPrepares),
		revisions: map[lateen.FunctionKey]*revision{}, projects: map[lateen.ProjectID]*project{}, teams: map[lateen.TeamID]*team{},
		preparing: map[lateen.FunctionKey]struct{}{}, early: map[lateen.ProjectID]production{},
	}
}

// Run keeps the fleet running until ctx ends, then stops every instance and returns
// once all have ended.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = context.WithoutCancel(ctx)
	f.mu.Unlock()
	f.recall()
	f.produceEarly()
	var background sync.WaitGroup
	background.Go(func() { f.prepare(ctx) })
	background.Go(func() { f.remember(ctx) })
	background.Go(func() { f.reportUsage(ctx) })
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	close(f.closed)
	for _, rev := range f.revisions {
		f.refuseLocked(rev, errEnding, 0)
		for _, inst := range rev.instances {
			f.retireLocked(inst, forced)
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

// Hasten sets a deadline for all stops that begin from now on, even if their grace
// lasts longer: the caller waits for Run to return.
func (f *Fleet) Hasten(then time.Time) { f.hastened.Store(&then) }

// Forget stops every instance of a deleted deployment, after its requests in flight
// and its waiting requests are done.
func (f *Fleet) Forget(d lateen.DeploymentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rev := range f.revisions {
		if rev.spec.Deployment != d {
			continue
		}
		rev.forgotten = true
		for _, inst := range rev.instances {
			f.retireLocked(inst, forced)
		}
		f.dropLocked(rev)
	}
	for fn := range f.known.all {
		if fn.next != nil && fn.next.Deployment == d {
			fn.cancelPlan()
		}
	}
}

var errEnding = lateen.ErrFunctionStart.With("the platform is shutting down")
