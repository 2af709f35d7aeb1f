// Package engine runs instances of functions behind one interface, whatever
// they run in.
package engine

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
)

// ErrNotTaken says that an instance ended before it took the request, so that
// another may be asked without doing anything twice.
var ErrNotTaken = errors.New("the instance ended before it took the request")

// Engine starts instances. It keeps no queue and decides nothing about how
// many there should be: that is the fleet's work.
type Engine interface {
	// Start returns an instance of spec whose code is loaded and which takes
	// requests, or an error: [lateen.ErrFunctionRuntime] for a runtime it does
	// not run, [lateen.ErrFunctionFailed] when loading the user's code failed
	// (with the end of what it wrote in the message), anything else is the
	// platform's fault and may be tried again. Ending ctx abandons the start.
	Start(ctx context.Context, spec lateen.FunctionSpec) (Instance, error)
	// Prepare makes later starts of spec cheaper, where the engine knows how:
	// it runs the function once where nobody sees it, without a network, and
	// keeps what that taught. It returns once that is done, at once where it is
	// under way already; an error costs nothing but the gain.
	Prepare(ctx context.Context, spec lateen.FunctionSpec) error
	// Prepared says what there is of that for a function of some runtime; nil
	// where the engine keeps nothing of the kind. It starts nothing.
	Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation
}

// Instance is a running function. All methods may be called concurrently.
type Instance interface {
	Rest

	// ID is unique among all instances there ever are.
	ID() lateen.InstanceID
	// Started says how the instance came to be and where the time went.
	Started() Phases
	// RoundTrip sends a request and returns as soon as the response's header
	// is there; the body streams. The request is one such as a server gets: its
	// URL is what user code sees, its ContentLength 0 says that there is no body.
	// [lateen.RequestIDFrom] of its context names the request in logs. Ending
	// the context cuts the request off. Errors: [lateen.ErrFunctionFailed] if
	// the user's code threw or the process died before it answered,
	// [lateen.ErrFunctionNoResponse] if it ended without one, [ErrNotTaken] if
	// no byte of the request reached it, and the context's cause.
	RoundTrip(req *http.Request) (*http.Response, error)
	// Busy is the number of requests that have not ended yet, waitUntil work
	// among them: an instance is idle when it is 0, some milliseconds after the last
	// response was read at the latest if nothing else was asked for and it runs.
	Busy() int
	// Usage is what the instance has used so far.
	Usage() Usage
	// Done is closed once the instance takes no more requests because its
	// process is gone or going: after a crash, an exit or Stop.
	Done() <-chan struct{}
	// Stop ends the instance: no more requests, a grace for those in flight
	// and their waitUntil work until ctx ends, then SIGTERM, 500 ms, SIGKILL.
	// It returns once the process is gone.
	Stop(ctx context.Context)
}

// Rest is how an instance without work uses less of the machine.
type Rest interface {
	// Freeze keeps the instance from running until Thaw, which a request needs
	// first. An instance that cannot be frozen returns [errors.ErrUnsupported]
	// and goes on.
	Freeze() error
	// Thaw lets a frozen instance run again; one that runs is left alone.
	Thaw() error
	// Reclaim pushes the memory of a frozen instance out, as far as the host
	// lets it; [errors.ErrUnsupported] where it does not.
	Reclaim() error
}

// Phases is how an instance was started.
type Phases struct {
	Kind  lateen.StartKind
	Claim time.Duration // getting a booted runtime process
	Load  time.Duration // handing over the function and loading its code
}

// Usage is the resources an instance has used.
type Usage struct {
	CPU    time.Duration // user and system time of all its processes
	Memory int64         // resident bytes now
	Peak   int64         // the most Memory ever was, as far as the engine knows
	// Ticks is how often its event loop was looked at while it had requests, and
	// Late how late that found it, together: how long what happens in it waits for
	// its turn. It is the guest's word, within bounds; 0 where nobody looks.
	Ticks float64
	Late  time.Duration
	// Outbound is whom it has connected to so far, by host; nil where nobody
	// counts. It holds a bounded number of hosts.
	Outbound []lateen.Outbound
}

// LogSink takes the lines that functions write. It never blocks.
type LogSink interface {
	Log(line lateen.LogLine)
}
