package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// assumedModuleMemory is the assumed memory, in bytes, of a process that has loaded a
// module, until the engine has measured one.
const assumedModuleMemory = 24 << 20

// The standby of a WebAssembly module is a process that has loaded the compiled
// module and waits. It runs code of the module only for a request, so it holds no
// state of the function. It counts against the memory of templates, and the engine
// starts it in the background like the standbys of templates.

// keepModuleStandby keeps a standby of a module from now on, if memory permits.
func (ts *templates) keepModuleStandby(r *process.Runner, spec lateen.FunctionSpec) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.moduleLocked(spec) != nil || ts.limit == 0 {
		return
	}
	now := time.Now()
	ts.all = append(ts.all, &template{spec: spec, runner: r, memory: memoryUse{template: assumedModuleMemory}, lastUsed: now, gap: standbyGap{since: now}})
	ts.trimLocked()
	ts.wakeUp()
}

// moduleLocked returns the template of a module; nil if there is none. It drops a
// template of the same function with other settings.
func (ts *templates) moduleLocked(spec lateen.FunctionSpec) *template {
	at := slices.IndexFunc(ts.all, func(t *template) bool { return t.Instance == nil && t.spec.Key == spec.Key })
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

// takeModuleStandby returns the standby of a module; nil if it has none.
func (ts *templates) takeModuleStandby(spec lateen.FunctionSpec) *process.Process {
	ts.mu.Lock()
	t := ts.moduleLocked(spec)
	ts.mu.Unlock()
	if t == nil {
		return nil
	}
	return ts.takeStandby(t)
}

// loadModuleStandby boots a process that loads a module's compiled code and waits.
func (e *Engine) loadModuleStandby(ctx context.Context, t *template) (*process.Process, error) {
	ctx, cancel := e.host.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	tree, err := e.o.Trees(ctx, t.spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out the files of %s: %w", t.spec.Name, err)
	}
	w, err := e.host.Boot(ctx, process.BootOptions{Runner: t.runner, Background: true})
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	a := e.cached(t.spec, w.Tag)
	a.Standby = true
	if a.Archive == nil { // the next start compiles the module
		e.templates.remove(t)
		w.Kill()
		return nil, process.RefusalError("its compiled code is no longer cached")
	}
	if err := e.instances.Unwatched(ctx, w, instance.Options{Spec: t.spec}).Load(ctx, tree, a); err != nil {
		return nil, err
	}
	resp, err := w.Ask(ctx, guest.QuestionAlive) // the agent has now answered once, so the module's first response is faster
	if err != nil {
		w.Kill()
		return nil, err
	}
	resp.Body.Close()
	if !w.Claim() {
		return nil, instance.ErrGone
	}
	if !e.host.Go(func() {
		<-w.Exited
		e.templates.standbyEnded(t, w)
	}) {
		w.Kill()
		return nil, sandbox.ErrEnded
	}
	return w, nil
}

// startModuleStandby starts an instance from the standby of a module; nil if it has
// none.
func (e *Engine) startModuleStandby(ctx context.Context, spec lateen.FunctionSpec, notice string, began time.Time) *instance.Instance {
	w := e.templates.takeModuleStandby(spec)
	if w == nil {
		return nil
	}
	claimed := time.Now()
	w.Output.Unmute()
	i := e.instances.Add(ctx, w, instance.Options{Spec: spec, Began: began, Questions: true})
	i.ResumeLoaded()
	if notice != "" {
		i.LogPlatform(lateen.LevelWarning, notice)
	}
	i.EnableNetwork()
	i.Phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	return i
}
