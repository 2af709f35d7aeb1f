// Package instance runs a function in a process: it loads the code, passes requests,
// explains failures and enforces limits.
package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/upstream"
)

// Instance is a running function: an [engine.Instance].
type Instance struct {
	*process.Process

	group   *Group
	o       Options
	id      lateen.InstanceID
	Phases  engine.Phases // of the start; set before the first request
	bootCPU time.Duration // CPU time that the process used before it got the function

	data       channel     // to the data cache
	requested  atomic.Bool // the instance has had a request
	alive      aliveCheck
	activation Activation

	loaded chan error    // takes one value: nil when the code is loaded
	done   chan struct{} // closed when the instance takes no more requests
	Idle   chan struct{} // closed when the instance takes no more requests and has none open

	mu      sync.Mutex // guards the fields below
	calls   calls
	ticks   float64       // see [engine.Usage]
	late    time.Duration // see [engine.Usage]
	ready   bool          // loading has finished
	retired bool          // the instance takes no more requests
	cause   error         // reason for which the engine killed the process
}

// Options are the settings of one instance.
type Options struct {
	Spec       lateen.FunctionSpec
	Began      time.Time // begin of the start
	Memory     int64     // memory limit in bytes; 0: that of the function
	Operations bool      // the agent supports operations
	Standby    bool      // the process was forked ahead of demand
	Training   bool      // training run: logs, purges and learned facts are discarded
	Notice     string    // logged for the function at its start; may be ""
	// LoadTimeout is the load timeout; 0: that of all instances.
	LoadTimeout time.Duration
	// Answered gets each request and the status of its response, before the body is
	// read; may be nil.
	Answered func(i *Instance, req *http.Request, status int)
	// Ended is called when the process has ended, under the lock of the instance and
	// before its requests end; may be nil. unexpected means that the process served,
	// or was about to, and ended by itself.
	Ended func(unexpected bool)
}

// Activation holds the options of an activation besides the function.
type Activation struct {
	Archive  *codecache.Archive // code cache to load from
	Rejected func()             // called if the runtime rejects that code cache; may be nil
	Record   bool               // record a code cache
	Template string             // path of the library for forking; the process becomes a template
	Standby  bool               // the process waits for its first request
}

// MaxClaims is the number of processes that one start tries: if they all end before
// they get the function, the function is not the cause.
const MaxClaims = 4

// ErrGone means that a process ended before it got its function.
var ErrGone = errors.New("the process ended before it had the function")

// Load sends the function to the process and returns when its code is loaded. On an
// error it ends the instance.
func (i *Instance) Load(ctx context.Context, tree string, l Activation) error {
	f := i.o.Spec.Function
	i.activation = l
	root, archive, err := i.group.Host.Attach(i.Process, tree, l.Archive, process.LimitsOf(i.o.Memory))
	if err != nil {
		return i.abandon(err)
	}
	err = i.Activate(guest.Activate{
		Root: root, Handler: f.Handler, Env: i.o.environment(), Edge: f.Edge(), Middleware: isMiddleware(i.o.Spec.Name),
		Helpers: f.AddHelpers, WebAPI: f.UseWebAPI, AWSHandler: f.AWSHandler, SourceMaps: f.AddSourcemaps, Assets: f.EdgeAssets, Lambda: i.o.lambda(), Interpreter: i.Interpreter,
		Archive: archive, Record: l.Record, Ahead: l.Standby, Template: l.Template, Memory: cmp.Or(f.Memory, i.group.Host.Memory),
	}, i.receive)
	if err != nil {
		return i.abandon(err)
	}
	return i.await(ctx)
}

// Limit sets the limits of the function on a process that was forked with the code.
func (i *Instance) Limit() error { return i.Sandboxed.Limit(process.LimitsOf(i.o.Memory)) }

// abandon kills a process that could not take its function. The error is errGone if
// the process has ended.
func (i *Instance) abandon(err error) error {
	if i.Lost() {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	i.Kill()
	return err
}

// await returns when the code is loaded. On an error it ends the instance.
func (i *Instance) await(ctx context.Context) error {
	var err error
	timeout := time.NewTimer(i.o.LoadTimeout)
	defer timeout.Stop()
	select {
	case err = <-i.loaded:
	case <-i.Exited:
		select {
		case err = <-i.loaded: // the process's own reason wins: its messages are read before Wait returns
		default:
			if i.Unread {
				return fmt.Errorf("%w: %s", ErrGone, i.State)
			}
			err = i.ExitError()
		}
	case <-timeout.C:
		err = fmt.Errorf("timeout after %v", i.o.LoadTimeout)
	case <-ctx.Done():
		i.Kill()
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	i.Terminate()
	<-i.Exited // the output is complete after exited is closed
	return lateen.ErrFunctionFailed.With("the function's code could not be loaded: %s%s", err.Error(), i.Output.LastOutput())
}

// egressShare divides a function's memory limit: the platform may hold a fourth of
// it for the function's connections, in addition to the function's own memory.
const egressShare = 4

// EnableNetwork permits the function to open connections. Refused connections go to
// its log.
func (i *Instance) EnableNetwork() {
	i.Link.Permit(egress.Grant{
		Project: string(i.o.Spec.Project), Bytes: i.o.Memory / egressShare,
		Refused: func(r egress.Refusal) { i.LogPlatform(lateen.LevelWarning, r.String()) },
	})
}

// isMiddleware reports whether builders give this function name to middleware only.
func isMiddleware(name string) bool {
	base := path.Base(name)
	return base == "middleware" || base == "_middleware"
}

// ID returns the ID of the instance.
func (i *Instance) ID() lateen.InstanceID { return i.id }

// Started returns the phases of the start.
func (i *Instance) Started() engine.Phases { return i.Phases }

// Done is closed when the instance takes no more requests.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Busy is the number of requests that have not ended.
func (i *Instance) Busy() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.calls.open)
}

// Stop ends the instance; see [engine.Instance].
func (i *Instance) Stop(ctx context.Context) {
	i.mu.Lock()
	i.retireLocked()
	i.mu.Unlock()
	select {
	case <-i.Idle:
	case <-i.Exited:
	case <-ctx.Done():
	}
	i.Terminate()
	<-i.Exited
}

// RoundTrip sends a request; see [engine.Instance].
func (i *Instance) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := context.Cause(req.Context()); err != nil {
		upstream.CloseBody(req)
		return nil, err
	}
	c, ok := i.call(lateen.RequestIDFrom(req.Context()))
	if !ok {
		upstream.CloseBody(req)
		return nil, engine.ErrNotTaken
	}
	if !i.o.Training && i.requested.CompareAndSwap(false, true) { // a start counts until its first response
		defer i.group.Burst.Enter()()
	}
	resp, err := i.Upstream.RoundTrip(req, c.id)
	if err != nil {
		return nil, c.explain(req, err)
	}
	switch reason := resp.Header.Get(guest.HeaderFailure); reason {
	case "":
	case guest.FaultRefused:
		resp.Header.Del(guest.HeaderFailure)
		c.forget() // the process sends no end of this request
	default:
		return nil, failureIn(resp, reason)
	}
	if i.o.Answered != nil {
		i.o.Answered(i, req, resp.StatusCode)
	}
	if body, ok := resp.Body.(*upstream.Body); ok {
		body.Explain = func(err error) error { return c.explainCut(req.Context(), err) }
	}
	return resp, nil
}

// call opens a call, unless the instance takes no more requests.
func (i *Instance) call(request lateen.RequestID) (*call, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.retired {
		return nil, false
	}
	c := i.calls.add(i, request, time.Now().Add(i.o.duration()+overdueAfter))
	i.attributeLocked(request)
	return c, true
}

// receive handles a message of the process.
func (i *Instance) receive(m guest.Message) {
	switch m.Type {
	case guest.TypePurge:
		i.purge(m)
		return
	case guest.TypeData:
		i.data.connect(i)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var err error
	switch m.Type {
	case guest.TypeServerStarted:
		var s guest.ServerStarted
		err = m.Into(&s)
		i.settleLoadLocked(nil, s)
	case guest.TypeEnd:
		var e guest.End
		err = m.Into(&e)
		i.calls.end(e.Context.RequestID, e.Error)
		i.endedLocked(e.Delay)
	case guest.TypeEnded:
		var e guest.Ended
		err = m.Into(&e)
		for _, id := range e.Requests {
			i.calls.end(id, nil)
		}
		i.endedLocked(e.Delay)
	case guest.TypeLog:
		var l guest.Log
		err = m.Into(&l)
		i.Output.Log(lateen.LogLine{
			Request: i.calls.request(l.Context.RequestID), Level: levelOf(l), Text: string(l.Message), Truncated: l.Truncated,
		})
	case guest.TypeArchiveRejected:
		if i.activation.Archive != nil && i.activation.Rejected != nil && !i.o.Training {
			i.activation.Rejected()
		}
	case guest.TypeUnrecoverable:
		var u guest.Unrecoverable
		err = m.Into(&u)
		i.settleLoadLocked(errors.New(u.Message), guest.ServerStarted{})
		i.retireLocked()
	}
	if err != nil {
		i.killLocked(fmt.Errorf("the process broke the protocol: %w", err))
	}
}

// levelOf returns the level of an entry.
func levelOf(l guest.Log) string {
	switch {
	case l.Level == "warn":
		return lateen.LevelWarning
	case l.Level == "error", l.Level == "fatal", l.Level == "" && l.Stream == "stderr":
		return lateen.LevelError
	default:
		return lateen.LevelInfo
	}
}

// endedLocked records the delay of the event loop after requests have ended.
func (i *Instance) endedLocked(d *guest.Delay) {
	ticks, late := d.Believable()
	i.ticks += ticks
	i.late += late
	i.endIfIdleLocked()
}

// maxPurged bounds the tags of an invalidation; further ones are ignored.
const maxPurged = 1024

// purge forwards the cache tags that user code has invalidated.
func (i *Instance) purge(m guest.Message) {
	var p guest.Purge
	if err := m.Into(&p); err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.killLocked(fmt.Errorf("the process broke the protocol: %w", err))
		return
	}
	if i.group.Purge != nil && len(p.Tags) > 0 && !i.o.Training {
		i.group.Purge(i.o.dataOwner(), p.Tags[:min(len(p.Tags), maxPurged)], p.Grace())
	}
}

// settleLoadLocked reports the result of loading, once.
func (i *Instance) settleLoadLocked(err error, s guest.ServerStarted) {
	if i.ready {
		return
	}
	i.ready = true
	i.configureUpstream(s)
	i.Output.Loaded()
	i.loaded <- err
}

// retireLocked stops taking requests; the process ends after its last open request.
func (i *Instance) retireLocked() {
	if i.retired {
		return
	}
	i.retired = true
	close(i.done)
	i.endIfIdleLocked()
}

// endIfIdleLocked ends the process of a retired instance that has no open requests.
func (i *Instance) endIfIdleLocked() {
	if i.retired && len(i.calls.open) == 0 && !isClosed(i.Idle) {
		close(i.Idle)
		i.Terminate()
	}
}

// killLocked kills the process; its requests fail with the reason.
func (i *Instance) killLocked(why error) {
	if i.cause == nil {
		i.cause = why
	}
	i.Kill()
}

// awaitExit waits for the end of the process and cleans up after it.
func (i *Instance) awaitExit() {
	<-i.Exited
	i.group.remove(i)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.o.Ended != nil {
		i.o.Ended(!i.retired && i.cause == nil && (i.ready || !i.o.Standby))
	}
	if !i.retired && i.ready && !i.group.Host.Ending() {
		i.LogPlatform(lateen.LevelError, "the instance ended unexpectedly: "+i.exitErrorLocked().Error())
	}
	i.calls.endAll()
	i.retireLocked()
	i.endIfIdleLocked()
}

// LogPlatform writes a log line of the platform into the function's log.
func (i *Instance) LogPlatform(level, text string) {
	i.Output.Log(lateen.LogLine{Level: level, Source: "platform", Text: text})
}

// Resume lets a process that was forked from a template take requests.
func (i *Instance) Resume(ctx context.Context) error {
	i.Deliver(i.receive)
	if err := guest.Settle(i.Control(), nil); err != nil {
		i.Kill()
		return err
	}
	return i.await(ctx)
}

// ResumeLoaded lets a process that has loaded the function ahead of demand take
// requests.
func (i *Instance) ResumeLoaded() {
	i.Output.Loaded()
	i.mu.Lock()
	i.ready = true
	i.mu.Unlock()
	i.Deliver(i.receive)
}

// KillAndWait kills an instance after its training run.
func (i *Instance) KillAndWait() {
	i.Kill()
	<-i.Exited
}
