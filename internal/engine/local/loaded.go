package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// firstLoaded is how many bytes a process that has loaded a module holds until
// one was measured.
const firstLoaded = 24 << 20

// The spare of a WebAssembly module is a process of its own that has loaded the
// compiled module and waits. Code of the module runs in it only for a request, so
// that the spare is in no state of the function. It takes its part of the memory of
// templates as a template does, and comes in the background as their spares do.

// keepLoaded keeps a spare of a module from now on, as long as there is room.
func (ts *templates) keepLoaded(r *runner, spec lateen.FunctionSpec) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.loadedLocked(spec) != nil || ts.limit == 0 {
		return
	}
	now := time.Now()
	ts.all = append(ts.all, &template{spec: spec, runner: r, holds: holding{template: firstLoaded}, used: now, lack: lack{since: now}})
	ts.trimLocked()
	ts.look()
}

// loadedLocked returns the template of a module; nil if there is none. One for
// the same function with other settings is given up.
func (ts *templates) loadedLocked(spec lateen.FunctionSpec) *template {
	at := slices.IndexFunc(ts.all, func(t *template) bool { return t.instance == nil && t.spec.Key == spec.Key })
	if at < 0 {
		return nil
	}
	t := ts.all[at]
	if !sameFunction(t.spec, spec) {
		t.retireLocked()
		ts.all = slices.Delete(ts.all, at, at+1)
		return nil
	}
	return t
}

// takeLoaded returns the spare of a module; nil if it has none.
func (ts *templates) takeLoaded(spec lateen.FunctionSpec) *worker {
	ts.mu.Lock()
	t := ts.loadedLocked(spec)
	ts.mu.Unlock()
	if t == nil {
		return nil
	}
	return ts.take(t)
}

// loadAhead boots a process that loads a module's compiled code and waits.
func (e *Engine) loadAhead(ctx context.Context, t *template) (*worker, error) {
	ctx, cancel := e.within(ctx, prepareTimeout)
	defer cancel()
	tree, err := e.o.Trees(ctx, t.spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out the files of %s: %w", t.spec.Name, err)
	}
	w, err := e.boot(ctx, bootOptions{runner: t.runner, background: true})
	if err != nil {
		return nil, err
	}
	w.output.mute()
	compiled := e.worthwhile(t.spec.Key, w.tag)
	if compiled == nil { // the next start compiles it
		e.templates.remove(t)
		w.Kill()
		return nil, refusal("its compiled code is no longer kept")
	}
	if err := unlisted(ctx, e, t.spec, w).load(ctx, tree, lesson{archive: compiled, ahead: true}); err != nil {
		return nil, err
	}
	resp, err := w.question(ctx, guest.QuestionAlive) // so that its first answer is not the module's
	if err != nil {
		w.Kill()
		return nil, err
	}
	resp.Body.Close()
	if !w.Claim() {
		return nil, errGone
	}
	if !e.attend(func() {
		<-w.exited
		e.templates.miss(t, w)
	}) {
		w.Kill()
		return nil, sandbox.ErrEnded
	}
	return w, nil
}

// startLoaded starts an instance from the spare of a module; nil if there is none.
func (e *Engine) startLoaded(ctx context.Context, spec lateen.FunctionSpec, notice string, began time.Time) *instance {
	w := e.templates.takeLoaded(spec)
	if w == nil {
		return nil
	}
	claimed := time.Now()
	w.output.unmute()
	i := newInstance(ctx, e, spec, w)
	i.output.loaded()
	i.began, i.answers = began, true
	i.mu.Lock()
	i.ready = true
	i.mu.Unlock()
	w.mu.Lock()
	w.receiver = i.receive
	w.mu.Unlock()
	if notice != "" {
		i.say(lateen.LevelWarning, notice)
	}
	i.goOut()
	i.phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	return i
}
