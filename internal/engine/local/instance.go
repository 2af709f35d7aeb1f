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
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/upstream"
)

// instance is a running function: an [engine.Instance].
type instance struct {
	*worker

	engine *Engine
	spec   lateen.FunctionSpec
	id     lateen.InstanceID
	phases engine.Phases
	memory int64         // bytes it may use
	booted time.Duration // CPU time the process had used before it was a function

	asked     atomic.Bool // it has had a request
	doubted   atomic.Bool // it is being asked whether it hangs
	first     sync.Once   // answer
	began     time.Time
	prepares  bool      // later starts of it can be made cheaper
	answers   bool      // its agent answers questions
	template  *template // it was forked from; nil: from none
	spare     bool      // before anybody asked for it
	lesson    lesson
	rehearsal bool // nobody hears of it, and nothing that it says counts

	loadWithin time.Duration // that loading may take

	loaded chan error    // takes one value: nil once the code is loaded
	done   chan struct{} // closed once it takes no more requests
	idle   chan struct{} // closed once it takes none and has none left

	mu    sync.Mutex // guards below
	calls calls
	ticks float64       // see [engine.Usage]
	late  time.Duration // so
	ready bool          // the code is loaded
	over  bool          // takes no more requests
	cause error         // why the engine has killed it
}

// newInstance makes w the instance that spec wants; load makes it so.
func newInstance(ctx context.Context, e *Engine, spec lateen.FunctionSpec, w *worker) *instance {
	i := unlisted(ctx, e, spec, w)
	e.enlist(i)
	if !e.attend(i.seeOff) {
		go i.seeOff() // at once: the process is as good as dead
	}
	return i
}

// unlisted returns an instance that the engine does not watch over: no request
// may be sent to it.
func unlisted(ctx context.Context, e *Engine, spec lateen.FunctionSpec, w *worker) *instance {
	i := &instance{
		worker: w, engine: e, spec: spec,
		id:     lateen.NewID[lateen.InstanceID]("ins_", time.Now()),
		memory: int64(cmp.Or(spec.Function.Memory, e.o.Memory)) << 20,
		booted: w.process.CPU(), loadWithin: e.patient(e.o.LoadTimeout),
		loaded: make(chan error, 1), done: make(chan struct{}), idle: make(chan struct{}),
	}
	source := "function"
	if spec.Function.Edge() {
		source = "edge"
	}
	w.output.become(lateen.LogLine{
		Request: lateen.RequestIDFrom(ctx), // that of whoever waits for it, while it loads
		Project: spec.Project, Deployment: spec.Deployment, Function: spec.Name, Instance: i.id, Source: source,
	})
	return i
}

// load hands the function over and returns once its code is loaded. After an
// error there is no instance.
func (i *instance) load(ctx context.Context, tree string, l lesson) error {
	f := i.spec.Function
	i.lesson = l
	root, archive, err := i.moveIn(tree, l.archive)
	if err != nil {
		return i.abandon(err)
	}
	err = i.activate(guest.Activate{
		Root: root, Handler: f.Handler, Env: i.environment(), Edge: f.Edge(), Middleware: isMiddleware(i.spec.Name),
		Helpers: f.AddHelpers, WebAPI: f.UseWebAPI, AWSHandler: f.AWSHandler, SourceMaps: f.AddSourcemaps, Assets: f.EdgeAssets, Lambda: i.lambda(), Interpreter: i.interpreter,
		Archive: archive, Record: l.record, Ahead: l.ahead, Template: l.template, Memory: cmp.Or(f.Memory, i.engine.o.Memory),
	}, i.receive)
	if err != nil {
		return i.abandon(err)
	}
	return i.await(ctx)
}

// abandon ends a process that could not be given its function, and says whether
// that is because it is gone.
func (i *instance) abandon(err error) error {
	if i.Lost() {
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	i.Kill()
	return err
}

// await returns once the code is loaded. After an error there is no instance.
func (i *instance) await(ctx context.Context) error {
	var err error
	timeout := time.NewTimer(i.loadWithin)
	defer timeout.Stop()
	select {
	case err = <-i.loaded:
	case <-i.exited:
		select {
		case err = <-i.loaded: // the process's own reason comes first: its messages are read before it is waited for
		default:
			if i.unread {
				return fmt.Errorf("%w: %s", errGone, i.state)
			}
			err = i.death()
		}
	case <-timeout.C:
		err = fmt.Errorf("it took longer than %v", i.loadWithin)
	case <-ctx.Done():
		i.Kill()
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	i.end()
	<-i.exited // so that all it wrote is there
	return lateen.ErrFunctionFailed.With("the function's code could not be loaded: %s%s", err.Error(), i.output.lastWords())
}

// lesson is what a process is told besides its function.
type lesson struct {
	archive  *archive.Archive // to load it from
	record   bool             // remember for an archive
	template string           // prepare to fork, with this library
	ahead    bool             // it waits for its first request
}

// isMiddleware reports whether a function has a name that builders give to
// middleware alone.
func isMiddleware(name string) bool {
	base := path.Base(name)
	return base == "middleware" || base == "_middleware"
}

// ID returns the instance's id.
func (i *instance) ID() lateen.InstanceID { return i.id }

// Started says how it came to be.
func (i *instance) Started() engine.Phases { return i.phases }

// Done is closed once it takes no more requests.
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
	case <-i.exited:
	case <-ctx.Done():
	}
	i.end()
	<-i.exited
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
	if !i.rehearsal && i.asked.CompareAndSwap(false, true) { // the start goes on until there is an answer
		defer i.engine.rush.Enter()()
	}
	resp, err := i.upstream.RoundTrip(req, c.id)
	if err != nil {
		return nil, i.explain(req, c, err)
	}
	switch reason := resp.Header.Get(guest.HeaderFailure); reason {
	case "":
	case guest.FaultRefused:
		resp.Header.Del(guest.HeaderFailure)
		i.forget(c) // the process will say nothing about it
	default:
		return nil, failureIn(resp, reason)
	}
	i.answered(req, resp)
	if body, ok := resp.Body.(*upstream.Body); ok {
		body.Explain = func(err error) error { return i.explainCut(req.Context(), c, err) }
	}
	return resp, nil
}

// call opens a call, unless the instance takes none.
func (i *instance) call(request lateen.RequestID) (*call, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return nil, false
	}
	c := i.calls.add(request, time.Now().Add(i.duration()+overdueAfter))
	i.attributeLocked(request)
	return c, true
}

// receive deals with what the process says.
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
		i.output.write(lateen.LogLine{
			Request: i.calls.request(l.Context.RequestID), Level: levelOf(l), Text: string(l.Message), Truncated: l.Truncated,
		})
	case guest.TypeArchiveRejected:
		if i.lesson.archive != nil && !i.rehearsal {
			i.engine.reject(i)
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

// endedLocked draws the conclusions from the end of requests.
func (i *instance) endedLocked(d *guest.Delay) {
	ticks, late := d.Believable()
	i.ticks += ticks
	i.late += late
	i.restLocked()
}

// purge passes on what user code has invalidated.
func (i *instance) purge(m guest.Message) {
	var p guest.Purge
	if err := m.Into(&p); err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.killLocked(fmt.Errorf("the process broke the protocol: %w", err))
		return
	}
	if i.engine.o.Purge != nil && len(p.Tags) > 0 && !i.rehearsal {
		i.engine.o.Purge(i.spec.Deployment, p.Tags, p.Grace())
	}
}

// settleLoadLocked says how loading went, once.
func (i *instance) settleLoadLocked(err error, s guest.ServerStarted) {
	if i.ready {
		return
	}
	i.ready = true
	i.meet(s)
	i.output.loaded()
	i.loaded <- err
}

// retireLocked takes no more requests; after the last it has, the process ends.
func (i *instance) retireLocked() {
	if i.over {
		return
	}
	i.over = true
	close(i.done)
	i.restLocked()
}

// restLocked ends the process of a retired instance without requests.
func (i *instance) restLocked() {
	if i.over && len(i.calls.open) == 0 && !isClosed(i.idle) {
		close(i.idle)
		i.end()
	}
}

// killLocked kills the process, for a reason that its requests are told.
func (i *instance) killLocked(why error) {
	if i.cause == nil {
		i.cause = why
	}
	i.Kill()
}

// seeOff waits for the end of the process and draws the conclusions.
func (i *instance) seeOff() {
	<-i.exited
	i.engine.discharge(i)
	if i.template != nil && i.engine.sandbox.PrivateTmp() && crowded(i.template.process.ID()) {
		i.engine.dropTemplate(i.template) // what siblings leave is theirs to find, but not without end
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.template != nil && !i.over && i.cause == nil && time.Since(i.began) < soon && (i.ready || !i.spare) {
		i.engine.blame(i.template) // before anybody can start another of it
	}
	if !i.over && i.ready && !i.engine.ending() {
		i.say(lateen.LevelError, "the instance ended unexpectedly: "+i.deathLocked().Error())
	}
	i.calls.endAll()
	i.retireLocked()
	i.restLocked()
}

// say writes a line of the platform's own among those of the function.
func (i *instance) say(level, text string) {
	i.output.write(lateen.LogLine{Level: level, Source: "platform", Text: text})
}
