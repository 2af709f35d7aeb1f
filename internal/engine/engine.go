// Package engine defines the interface to the instances of functions, independent of
// the technology that runs them.
package engine

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
)

// ErrNotTaken means that an instance ended before it took the request, so another
// instance can answer the request without a repeated side effect.
var ErrNotTaken = errors.New("the instance ended before it took the request")

// Engine starts instances. It has no queue; the fleet decides on their number.
type Engine interface {
	// Start returns an instance of spec that has loaded its code and takes requests.
	// Errors: [lateen.ErrFunctionRuntime] for a runtime that the engine does not
	// run, [lateen.ErrFunctionFailed] when loading the user code failed (the message
	// has the end of its output). Any other error is a fault of the platform, and
	// the caller may try again. Canceling ctx abandons the start.
	Start(ctx context.Context, spec lateen.FunctionSpec) (Instance, error)
	// Prepare makes later starts of spec cheaper if the engine supports that: it
	// makes a training run, without a network and without effect on clients, and
	// stores the result. It returns at the end of the run, or immediately if a run
	// is already in progress. After an error functions still start, only slower.
	Prepare(ctx context.Context, spec lateen.FunctionSpec) error
	// Prepared describes the stored results of Prepare for a function of a runtime;
	// nil if the engine stores none for that runtime. It starts nothing.
	Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation
}

// Instance is a running function. All methods may be called concurrently.
type Instance interface {
	Freezer

	// ID is unique among all instances of all time.
	ID() lateen.InstanceID
	// Started returns the kind of the start and the durations of its phases.
	Started() Phases
	// RoundTrip sends a request and returns as soon as the response header has
	// arrived; the body streams. The request has the form of a server request: user
	// code sees its URL, and ContentLength 0 means no body. [lateen.RequestIDFrom]
	// of its context identifies the request in logs. Canceling the context aborts
	// the request. Errors: [lateen.ErrFunctionFailed] if the user code threw or the
	// process ended before a response, [lateen.ErrFunctionNoResponse] if the request
	// ended without a response, [ErrNotTaken] if no byte of the request reached the
	// instance, and the cause of the context.
	RoundTrip(req *http.Request) (*http.Response, error)
	// Busy is the number of requests that have not ended, including those with
	// waitUntil work. It becomes 0 at most some milliseconds after the last response
	// was read, if the instance gets no other request and is not frozen.
	Busy() int
	// Usage returns the resources that the instance has used so far.
	Usage() Usage
	// Done is closed when the instance takes no more requests because its process
	// has ended or is about to end: after a crash, an exit or Stop.
	Done() <-chan struct{}
	// Stop ends the instance. It takes no more requests; requests in progress and
	// their waitUntil work may finish until ctx ends; then SIGTERM, 500 ms, SIGKILL.
	// Stop returns after the process has ended.
	Stop(ctx context.Context)
}

// Freezer reduces the resources that an idle instance uses.
type Freezer interface {
	// Freeze stops the instance from running until Thaw, which must precede the next
	// request. If the instance cannot be frozen, Freeze returns
	// [errors.ErrUnsupported] and the instance keeps running.
	Freeze() error
	// Thaw lets a frozen instance run again; on a running instance it has no effect.
	Thaw() error
	// Reclaim asks the host to reclaim the memory of a frozen instance; it returns
	// [errors.ErrUnsupported] if the host does not support that.
	Reclaim() error
}

// Phases describes the start of an instance.
type Phases struct {
	Kind  lateen.StartKind
	Claim time.Duration // time to get a booted runtime process
	Load  time.Duration // time to hand over the function and to load its code
}

// Usage is the resources that an instance has used.
type Usage struct {
	CPU    time.Duration // user and system time of all processes of the instance
	Memory int64         // current resident bytes
	Peak   int64         // highest known value of Memory
	// Ticks is the number of samples of the event loop while it had requests, and
	// Late is their total delay: how long a callback waits in the event loop. The
	// guest reports both, and the engine bounds them; they are 0 if the runtime does
	// not sample.
	Ticks float64
	Late  time.Duration
	// Outbound counts the connections of the instance by host, for a bounded number
	// of hosts; nil if the engine does not count them.
	Outbound []lateen.Outbound
}

// LogSink takes the log lines of functions. It never blocks.
type LogSink interface {
	Log(line lateen.LogLine)
}

// UsageSink takes the usage of instances, and of the processes on standby. It never
// blocks.
type UsageSink interface {
	AddUsage(s lateen.UsageSample)
}
