package local

import (
	"context"
	"errors"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

// start starts an instance in the fastest available way.
func (e *Engine) start(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, tree, notice string) (engine.Instance, error) {
	began := time.Now()
	if r.Compiles {
		if i := e.modules.StartStandby(ctx, spec, notice, began); i != nil {
			return i, nil
		}
	}
	t := e.templates.Of(spec)
	options := startOptions{template: t != nil, blank: r.Blanks.Ready() && len(r.BootEnv(spec.Env)) == 0, cost: e.learner.Started(spec.Key, began)}
	if tier(options) == lateen.StartTemplate {
		i, err := e.templates.Start(ctx, t, instance.Options{Spec: spec, Began: began, Notice: notice})
		if err == nil {
			return i, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.o.Log.WarnContext(ctx, "template dropped", "function", spec.Name, "deployment_id", spec.Deployment, "err", err)
		e.templates.Drop(t)
	}
	for tries := 1; ; tries++ {
		i, err := e.startBlank(ctx, r, spec, tree, notice, began)
		switch {
		case err == nil:
			return i, nil
		case !errors.Is(err, instance.ErrGone) || tries == instance.MaxClaims:
			return nil, err
		}
		notice = "" // the log has it already
	}
}

// startBlank starts an instance in a blank process, or in a newly booted one.
func (e *Engine) startBlank(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, tree, notice string, began time.Time) (*instance.Instance, error) {
	w, kind, err := e.claim(ctx, r, &spec)
	if err != nil {
		return nil, err
	}
	claimed := time.Now()
	o := instance.Options{Spec: spec, Began: began, Notice: notice, Operations: r.Warm || r.Compiles}
	if r.Warm { // preparation can make later starts cheaper
		o.Answered = e.learner.Answered(r, spec, began)
	}
	i := e.instances.Add(ctx, w, o)
	i.EnableNetwork()
	if err := i.Load(ctx, tree, e.learner.Cached(spec, w.Tag)); err != nil {
		return nil, err
	}
	i.Phases = engine.Phases{Kind: kind, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	if r.Compiles && i.Usage().CPU > template.MinCost {
		e.modules.KeepStandby(r, spec)
	}
	return i, nil
}
