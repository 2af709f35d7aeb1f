package template

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// assumedModuleMemory is the assumed memory, in bytes, of a process that has loaded a
// module, until the engine has measured one.
const assumedModuleMemory = 24 << 20

// The standby of a WebAssembly module is a process that has loaded the compiled
// module and waits. It runs code of the module only for a request, so it holds no
// state of the function. It counts against the memory of templates, and the engine
// starts it in the background like the standbys of templates.

// ErrStale ends the standbys of a module: its next start makes one possible again.
var ErrStale = errors.New("the compiled code of the module is no longer cached")

// KeepModule keeps a standby of a module from now on, if memory permits. load boots a
// process and makes it load the module; after [ErrStale] it is not called again.
func (ts *Templates) KeepModule(spec lateen.FunctionSpec, load func(context.Context) (*process.Process, error)) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.moduleLocked(spec) != nil || ts.limit == 0 {
		return
	}
	ts.addLocked(&Template{spec: spec, load: load, memory: memoryUse{template: assumedModuleMemory}, lastUsed: time.Now()})
}

// moduleLocked returns the template of a module; nil if there is none. It drops a
// template of the same function with other settings.
func (ts *Templates) moduleLocked(spec lateen.FunctionSpec) *Template {
	at := slices.IndexFunc(ts.all, func(t *Template) bool { return t.Instance == nil && t.spec.Key == spec.Key })
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

// TakeModule returns the standby of a module; nil if it has none.
func (ts *Templates) TakeModule(spec lateen.FunctionSpec) *process.Process {
	ts.mu.Lock()
	t := ts.moduleLocked(spec)
	ts.mu.Unlock()
	if t == nil {
		return nil
	}
	return ts.takeStandby(t)
}

// loadStandby starts a standby of a module.
func (ts *Templates) loadStandby(ctx context.Context, t *Template) (*process.Process, error) {
	w, err := t.load(ctx)
	if errors.Is(err, ErrStale) {
		ts.Drop(t)
	}
	if err != nil {
		return nil, err
	}
	if !ts.group.Host.Go(func() {
		<-w.Exited
		ts.standbyEnded(t, w)
	}) {
		w.Kill()
		return nil, sandbox.ErrEnded
	}
	return w, nil
}
