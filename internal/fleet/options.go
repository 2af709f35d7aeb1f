package fleet

import (
	"cmp"
	"log/slog"
	"runtime"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
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
	Usage engine.UsageSink

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

// withDefaults returns o with the default of each field that is not set.
func withDefaults(o Options) Options {
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

// duration returns the maximum time of an invocation for a function's maxDuration.
func (o *Options) duration(seconds int) time.Duration {
	switch {
	case seconds < 0:
		return o.MaxDuration
	case seconds == 0:
		return min(o.Duration, o.MaxDuration)
	default:
		return min(time.Duration(seconds)*time.Second, o.MaxDuration)
	}
}

// keepAlive returns the time for which an instance is kept after the last request.
func (o *Options) keepAlive(h *autoscale.History, c autoscale.Costs, now time.Time) time.Duration {
	if o.KeepAlive > 0 {
		return o.KeepAlive
	}
	last := h.Last()
	if last.IsZero() {
		last = now
	}
	return max(0, o.Policy.Keep(h, last, c).KeepUntil.Sub(last))
}
