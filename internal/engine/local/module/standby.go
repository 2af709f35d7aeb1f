package module

import (
	"context"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
	"github.com/lateen-dev/lateen/internal/guest"
)

// KeepStandby keeps a standby of a module from now on, if memory permits.
func (ms *Modules) KeepStandby(r *process.Runner, spec lateen.FunctionSpec) {
	ms.templates.KeepModule(spec, func(ctx context.Context) (*process.Process, error) { return ms.loadStandby(ctx, r, spec) })
}

// loadStandby boots a process that loads a module's compiled code and waits.
func (ms *Modules) loadStandby(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) (*process.Process, error) {
	ctx, cancel := ms.group.Host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	tree, err := ms.group.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	w, err := ms.group.Host.Boot(ctx, process.BootOptions{Runner: r, Background: true})
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	a := ms.cached(spec, w.Tag)
	a.Standby = true
	if a.Archive == nil { // the next start compiles the module
		w.Kill()
		return nil, template.ErrStale
	}
	if err := ms.group.Unwatched(ctx, w, instance.Options{Spec: spec}).Load(ctx, tree, a); err != nil {
		return nil, err
	}
	resp, err := w.Operate(ctx, guest.OperationPing) // the agent has now answered once, so the module's first response is faster
	if err != nil {
		w.Kill()
		return nil, err
	}
	resp.Body.Close()
	if !w.Claim() {
		return nil, instance.ErrGone
	}
	return w, nil
}

// StartStandby starts an instance from the standby of a module; nil if it has
// none.
func (ms *Modules) StartStandby(ctx context.Context, spec lateen.FunctionSpec, notice string, began time.Time) *instance.Instance {
	w := ms.templates.TakeModule(spec)
	if w == nil {
		return nil
	}
	claimed := time.Now()
	w.Output.Unmute()
	i := ms.group.Add(ctx, w, instance.Options{Spec: spec, Began: began, Notice: notice, Operations: true})
	i.ResumeLoaded()
	i.EnableNetwork()
	i.Phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	return i
}
