package local

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
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
	options := startOptions{template: t != nil, blank: r.Blanks.Ready() && len(r.BootEnv(spec.Env)) == 0}
	e.profiles.with(spec.Key, func(a *functionProfile) { options.cost, a.lastStart = a.cost, began })
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
	o := instance.Options{Spec: spec, Began: began, Notice: notice, Questions: r.Warm || r.Compiles}
	if r.Warm { // preparation can make later starts cheaper
		o.Answered = e.learner(spec, began)
	}
	i := e.instances.Add(ctx, w, o)
	i.EnableNetwork()
	if err := i.Load(ctx, tree, e.cached(spec, w.Tag)); err != nil {
		return nil, err
	}
	i.Phases = engine.Phases{Kind: kind, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	if r.Compiles && i.Usage().CPU > template.MinCost {
		e.modules.KeepStandby(r, spec)
	}
	return i, nil
}

// usableCache returns the code cache from which a process should load a function; nil
// if loading without one is faster.
func (e *Engine) usableCache(key lateen.FunctionKey, tag string) *codecache.Archive {
	if a := e.archives.Find(key, tag); a != nil && (a.Size >= e.minCodeCache || a.Modules) {
		return a
	}
	return nil
}

// cached returns the activation that loads a function from its code cache, if
// it has one that a process with this tag can read.
func (e *Engine) cached(spec lateen.FunctionSpec, tag string) instance.Activation {
	return instance.Activation{Archive: e.usableCache(spec.Key, tag), Rejected: func() { e.dropCache(spec, tag) }}
}

// dropCache drops a code cache that the runtime has rejected. A later preparation
// makes a new one.
func (e *Engine) dropCache(spec lateen.FunctionSpec, tag string) {
	e.o.Log.Info("code cache rejected by the runtime; a later start makes a new one", "function", spec.Name, "deployment_id", spec.Deployment)
	e.archives.Drop(spec.Key, tag)
	e.profiles.with(spec.Key, func(a *functionProfile) { a.trained = false })
}

// learner returns a function that learns from the first response of an instance.
func (e *Engine) learner(spec lateen.FunctionSpec, began time.Time) func(*instance.Instance, *http.Request, int) {
	var first sync.Once
	return func(i *instance.Instance, req *http.Request, status int) {
		first.Do(func() {
			took := time.Since(began)
			v, ok := instance.SampleOf(req)
			e.host.Go(func() { e.learnStart(spec, i, took, v, ok && status == http.StatusOK) })
		})
	}
}

// learnStart records the duration of the start, up to the end of the first response.
func (e *Engine) learnStart(spec lateen.FunctionSpec, i *instance.Instance, took time.Duration, v instance.Sample, repeats bool) {
	cost := min(took, i.Usage().CPU) // excludes the time in which it waited for other processes
	e.profiles.with(spec.Key, func(a *functionProfile) {
		if a.cost == 0 || cost < a.cost {
			a.cost = cost
		}
	})
	if repeats {
		e.profiles.addSample(spec.Key, v)
	}
	e.queuePreparation(spec, cmp.Or(i.BootedTag, i.Tag))
}
