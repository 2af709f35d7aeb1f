package local

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

// instance is a running function: an [engine.Instance].
type instance struct {
	*process.Process

	engine  *Engine
	spec    lateen.FunctionSpec
	id      lateen.InstanceID
	phases  engine.Phases
	memory  int64         // memory limit in bytes
	bootCPU time.Duration // CPU time that the process used before it got the function

	requested     atomic.Bool // the instance has had a request
	checkingAlive atomic.Bool // killIfBlocked is running
	first         sync.Once   // runs at the first response
	startedAt     time.Time
	preparable    bool      // preparation can make later starts cheaper
	questions     bool      // the agent supports questions
	template      *template // template that forked the process; nil if none did
	standby       bool      // the process was forked ahead of demand
	activation    activation
	training      bool // training run: logs, purges and learned facts are discarded

	loadWithin time.Duration // load timeout

	loaded chan error    // takes one value: nil when the code is loaded
	done   chan struct{} // closed when the instance takes no more requests
	idle   chan struct{} // closed when the instance takes no more requests and has none open

	mu      sync.Mutex // guards the fields below
	calls   calls
	ticks   float64       // see [engine.Usage]
	late    time.Duration // see [engine.Usage]
	ready   bool          // loading has finished
	retired bool          // the instance takes no more requests
	cause   error         // reason for which the engine killed the process
}

// newInstance wraps w as an instance of spec; load loads the function.
func newInstance(ctx context.Context, e *Engine, spec lateen.FunctionSpec, w *process.Process) *instance {
	i := newUnregistered(ctx, e, spec, w)
	e.register(i)
	if !e.host.Go(i.awaitExit) {
		go i.awaitExit() // returns immediately: the process is being killed
	}
	return i
}

// newUnregistered returns an instance that watch does not check; it must get no
// request.
func newUnregistered(ctx context.Context, e *Engine, spec lateen.FunctionSpec, w *process.Process) *instance {
	i := &instance{
		Process: w, engine: e, spec: spec,
		id:      lateen.NewID[lateen.InstanceID]("ins_", time.Now()),
		memory:  int64(cmp.Or(spec.Function.Memory, e.o.Memory)) << 20,
		bootCPU: w.Sandboxed.CPU(), loadWithin: e.host.Scaled(e.o.LoadTimeout),
		loaded: make(chan error, 1), done: make(chan struct{}), idle: make(chan struct{}),
	}
	source := "function"
	if spec.Function.Edge() {
		source = "edge"
	}
	w.Output.Assign(lateen.LogLine{
		Request: lateen.RequestIDFrom(ctx), // while the code loads, log lines belong to the request that waits for the instance
		Project: spec.Project, Deployment: spec.Deployment, Function: spec.Name, Instance: i.id, Source: source,
	})
	return i
}

// load sends the function to the process and returns when its code is loaded. On an
// error it ends the instance.
func (i *instance) load(ctx context.Context, tree string, l activation) error {
	f := i.spec.Function
	i.activation = l
	root, archive, err := i.engine.host.Attach(i.Process, tree, l.archive, process.LimitsOf(i.memory))
	if err != nil {
		return i.abandon(err)
	}
	err = i.Activate(guest.Activate{
		Root: root, Handler: f.Handler, Env: i.environment(), Edge: f.Edge(), Middleware: isMiddleware(i.spec.Name),
		Helpers: f.AddHelpers, WebAPI: f.UseWebAPI, AWSHandler: f.AWSHandler, SourceMaps: f.AddSourcemaps, Assets: f.EdgeAssets, Lambda: i.lambda(), Interpreter: i.Interpreter,
		Archive: archive, Record: l.record, Ahead: l.standby, Template: l.template, Memory: cmp.Or(f.Memory, i.engine.o.Memory),
	}, i.receive)
	if err != nil {
		return i.abandon(err)
	}
	return i.await(ctx)
}

// abandon kills a process that could not take its function. The error is errGone if
// the process has ended.
func (i *instance) abandon(err error) error {
	if i.Lost() {
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	i.Kill()
	return err
}

// await returns when the code is loaded. On an error it ends the instance.
func (i *instance) await(ctx context.Context) error {
	var err error
	timeout := time.NewTimer(i.loadWithin)
	defer timeout.Stop()
	select {
	case err = <-i.loaded:
	case <-i.Exited:
		select {
		case err = <-i.loaded: // the process's own reason wins: its messages are read before Wait returns
		default:
			if i.Unread {
				return fmt.Errorf("%w: %s", errGone, i.State)
			}
			err = i.exitError()
		}
	case <-timeout.C:
		err = fmt.Errorf("timeout after %v", i.loadWithin)
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

// activation holds the options of an activation besides the function.
type activation struct {
	archive  *codecache.Archive // code cache to load from
	record   bool               // record a code cache
	template string             // path of the library for forking; the process becomes a template
	standby  bool               // the process waits for its first request
}

// egressShare divides a function's memory limit: the platform may hold a fourth of
// it for the function's connections, in addition to the function's own memory.
const egressShare = 4

// enableNetwork permits the function to open connections. Refused connections go to
// its log.
func (i *instance) enableNetwork() {
	i.Link.Permit(egress.Grant{
		Project: string(i.spec.Project), Bytes: i.memory / egressShare,
		Refused: func(r egress.Refusal) { i.logPlatform(lateen.LevelWarning, r.String()) },
	})
}

// isMiddleware reports whether builders give this function name to middleware only.
func isMiddleware(name string) bool {
	base := path.Base(name)
	return base == "middleware" || base == "_middleware"
}

// ID returns the ID of the instance.
func (i *instance) ID() lateen.InstanceID { return i.id }

// Started returns the phases of the start.
func (i *instance) Started() engine.Phases { return i.phases }

// Done is closed when the instance takes no more requests.
func (i *instance) Done() <-chan struct{} { return i.done }

// Busy is the number of requests that have not ended.
func (i *instance) Busy() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.calls.open)
}

// Stop ends the instance; see [engine.Instance].
func (i *instance) Stop(ctx context.Context) {
	i.mu.Lock()
	i.retireLocked()
	i.mu.Unlock()
	select {
	case <-i.idle:
	case <-i.Exited:
	case <-ctx.Done():
	}
	i.Terminate()
	<-i.Exited
}

// RoundTrip sends a request; see [engine.Instance].
func (i *instance) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := context.Cause(req.Context()); err != nil {
		upstream.CloseBody(req)
		return nil, err
	}
	c, ok := i.call(lateen.RequestIDFrom(req.Context()))
	if !ok {
		upstream.CloseBody(req)
		return nil, engine.ErrNotTaken
	}
	if !i.training && i.requested.CompareAndSwap(false, true) { // a start counts until its first response
		defer i.engine.rush.Enter()()
	}
	resp, err := i.Upstream.RoundTrip(req, c.id)
	if err != nil {
		return nil, i.explain(req, c, err)
	}
	switch reason := resp.Header.Get(guest.HeaderFailure); reason {
	case "":
	case guest.FaultRefused:
		resp.Header.Del(guest.HeaderFailure)
		i.forget(c) // the process sends no end of this request
	default:
		return nil, failureIn(resp, reason)
	}
	i.learnFrom(req, resp)
	if body, ok := resp.Body.(*upstream.Body); ok {
		body.Explain = func(err error) error { return i.explainCut(req.Context(), c, err) }
	}
	return resp, nil
}

// call opens a call, unless the instance takes no more requests.
func (i *instance) call(request lateen.RequestID) (*call, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.retired {
		return nil, false
	}
	c := i.calls.add(request, time.Now().Add(i.duration()+overdueAfter))
	i.attributeLocked(request)
	return c, true
}

// receive handles a message of the process.
func (i *instance) receive(m guest.Message) {
	if m.Type == guest.TypePurge {
		i.purge(m)
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
		if i.activation.archive != nil && !i.training {
			i.engine.dropCache(i)
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
func (i *instance) endedLocked(d *guest.Delay) {
	ticks, late := d.Believable()
	i.ticks += ticks
	i.late += late
	i.endIfIdleLocked()
}

// purge forwards the cache tags that user code has invalidated.
func (i *instance) purge(m guest.Message) {
	var p guest.Purge
	if err := m.Into(&p); err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.killLocked(fmt.Errorf("the process broke the protocol: %w", err))
		return
	}
	if i.engine.o.Purge != nil && len(p.Tags) > 0 && !i.training {
		i.engine.o.Purge(i.spec.Deployment, p.Tags, p.Grace())
	}
}

// settleLoadLocked reports the result of loading, once.
func (i *instance) settleLoadLocked(err error, s guest.ServerStarted) {
	if i.ready {
		return
	}
	i.ready = true
	i.configureUpstream(s)
	i.Output.Loaded()
	i.loaded <- err
}

// retireLocked stops taking requests; the process ends after its last open request.
func (i *instance) retireLocked() {
	if i.retired {
		return
	}
	i.retired = true
	close(i.done)
	i.endIfIdleLocked()
}

// endIfIdleLocked ends the process of a retired instance that has no open requests.
func (i *instance) endIfIdleLocked() {
	if i.retired && len(i.calls.open) == 0 && !isClosed(i.idle) {
		close(i.idle)
		i.Terminate()
	}
}

// killLocked kills the process; its requests fail with the reason.
func (i *instance) killLocked(why error) {
	if i.cause == nil {
		i.cause = why
	}
	i.Kill()
}

// awaitExit waits for the end of the process and cleans up after it.
func (i *instance) awaitExit() {
	<-i.Exited
	i.engine.unregister(i)
	if i.template != nil && i.engine.host.Sandbox.PrivateTmp() && tmpNearlyFull(i.template.Sandboxed.ID()) {
		i.engine.dropTemplate(i.template) // all processes of a template share its temporary files; this bounds their size
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.template != nil && !i.retired && i.cause == nil && time.Since(i.startedAt) < earlyExit && (i.ready || !i.standby) {
		i.engine.disableTemplates(i.template) // before another start can use the template
	}
	if !i.retired && i.ready && !i.engine.host.Ending() {
		i.logPlatform(lateen.LevelError, "the instance ended unexpectedly: "+i.exitErrorLocked().Error())
	}
	i.calls.endAll()
	i.retireLocked()
	i.endIfIdleLocked()
}

// logPlatform writes a log line of the platform into the function's log.
func (i *instance) logPlatform(level, text string) {
	i.Output.Log(lateen.LogLine{Level: level, Source: "platform", Text: text})
}
