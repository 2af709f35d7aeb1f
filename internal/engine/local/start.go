package local

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

// maxClaims is the number of processes that one start tries: if they all end before
// they get the function, the function is not the cause.
const maxClaims = 4

// errGone means that a process ended before it got its function.
var errGone = errors.New("the process ended before it had the function")

// start starts an instance in the fastest available way.
func (e *Engine) start(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, tree, notice string) (engine.Instance, error) {
	began := time.Now()
	if r.Compiles {
		if i := e.startModuleStandby(ctx, spec, notice, began); i != nil {
			return i, nil
		}
	}
	t := e.templateOf(spec)
	options := startOptions{template: t != nil, blank: r.Blanks.Ready() && len(r.BootEnv(spec.Env)) == 0}
	e.profiles.with(spec.Key, func(a *functionProfile) { options.cost, a.lastStart = a.cost, began })
	if tier(options) == lateen.StartTemplate {
		i, err := e.startFork(ctx, t, spec, notice, began)
		if err == nil {
			return i, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.o.Log.WarnContext(ctx, "template dropped", "function", spec.Name, "deployment_id", spec.Deployment, "err", err)
		e.dropTemplate(t)
	}
	for tries := 1; ; tries++ {
		i, err := e.startBlank(ctx, r, spec, tree, notice, began)
		switch {
		case err == nil:
			return i, nil
		case !errors.Is(err, errGone) || tries == maxClaims:
			return nil, err
		}
		notice = "" // the log has it already
	}
}

// startBlank starts an instance in a blank process, or in a newly booted one.
func (e *Engine) startBlank(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, tree, notice string, began time.Time) (*instance, error) {
	w, kind, err := e.claim(ctx, r, &spec)
	if err != nil {
		return nil, err
	}
	claimed := time.Now()
	i := newInstance(ctx, e, spec, w)
	i.startedAt, i.preparable, i.questions = began, r.Warm, r.Warm || r.Compiles
	if notice != "" {
		i.logPlatform(lateen.LevelWarning, notice)
	}
	i.enableNetwork()
	if err := i.load(ctx, tree, activation{archive: e.usableCache(spec.Key, w.Tag)}); err != nil {
		return nil, err
	}
	i.phases = engine.Phases{Kind: kind, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	if r.Compiles && i.Usage().CPU > minTemplateCost {
		e.templates.keepModuleStandby(r, spec)
	}
	return i, nil
}

// startFork starts an instance from a template: in its standby, or in a process that
// the template forks now.
func (e *Engine) startFork(ctx context.Context, t *template, spec lateen.FunctionSpec, notice string, began time.Time) (*instance, error) {
	begin := func(w *process.Process, standby bool) (*instance, error) {
		claimed := time.Now()
		i := newInstance(ctx, e, spec, w)
		i.startedAt, i.preparable, i.questions, i.template, i.standby = began, true, true, t, standby
		if err := w.Sandboxed.Limit(process.LimitsOf(i.memory)); err != nil {
			e.o.Log.WarnContext(ctx, "could not set the limits of an instance", "instance", i.id, "err", err)
		}
		i.enableNetwork()
		if notice != "" {
			i.logPlatform(lateen.LevelWarning, notice)
		}
		if err := i.resume(ctx); err != nil {
			return nil, err
		}
		i.phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(began), Load: time.Since(claimed)}
		return i, nil
	}
	if w := e.templates.takeStandby(t); w != nil {
		if i, err := begin(w, true); err == nil || ctx.Err() != nil {
			return i, err
		}
	}
	w, err := e.fork(ctx, t)
	if err == nil {
		err = guest.Settle(w.Control(), nil)
	}
	if err != nil {
		return nil, err
	}
	return begin(w, false)
}

// resume lets a process that was forked from a template take requests.
func (i *instance) resume(ctx context.Context) error {
	i.Deliver(i.receive)
	if err := guest.Settle(i.Control(), nil); err != nil {
		i.Kill()
		return err
	}
	return i.await(ctx)
}

// usableCache returns the code cache from which a process should load a function; nil
// if loading without one is faster.
func (e *Engine) usableCache(key lateen.FunctionKey, tag string) *codecache.Archive {
	if a := e.archives.Find(key, tag); a != nil && (a.Size >= e.minCodeCache || a.Modules) {
		return a
	}
	return nil
}

// dropCache drops the code cache that an instance could not use. A later preparation
// makes a new one.
func (e *Engine) dropCache(i *instance) {
	e.o.Log.Info("code cache rejected by the runtime; a later start makes a new one", "function", i.spec.Name, "deployment_id", i.spec.Deployment)
	e.archives.Drop(i.spec.Key, i.Tag)
	e.profiles.with(i.spec.Key, func(a *functionProfile) { a.trained = false })
}

// learnFrom learns from the responses of an instance, mainly from the first one.
func (i *instance) learnFrom(req *http.Request, resp *http.Response) {
	if i.training || !i.preparable || i.template != nil {
		return
	}
	i.first.Do(func() {
		took := time.Since(i.startedAt)
		v, ok := sampleOf(req)
		i.engine.host.Go(func() { i.learn(took, v, ok && resp.StatusCode == http.StatusOK) })
	})
}

// learn records the duration of the start, up to the end of the first response.
func (i *instance) learn(took time.Duration, v sampleRequest, repeats bool) {
	cost := min(took, i.Usage().CPU) // excludes the time in which it waited for other processes
	i.engine.profiles.with(i.spec.Key, func(a *functionProfile) {
		if a.cost == 0 || cost < a.cost {
			a.cost = cost
		}
	})
	if repeats {
		i.engine.profiles.addSample(i.spec.Key, v)
	}
	i.engine.queuePreparation(i.spec, cmp.Or(i.BootedTag, i.Tag))
}
