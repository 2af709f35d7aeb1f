package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	warmRounds     = 6           // rounds of sample requests for a code cache
	maxPreparing   = 256         // maximum length of the queue of functions
	retryPrepare   = time.Minute // backoff after a failure, doubled after each further one
	retryDoublings = 6           // maximum number of doublings
)

// Prepare makes a code cache of a function; see [engine.Engine].
func (e *Engine) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	r, _, err := e.runtimeFor(&spec.Function)
	if err != nil {
		return err
	}
	if r.Compiles {
		return e.modules.Compile(ctx, r, spec, false)
	}
	if !r.Warm {
		return r.Blanks.Find(ctx) // only the agent of Node.js supports training runs
	}
	var busy bool
	e.profiles.with(spec.Key, func(a *functionProfile) { busy, a.preparing = a.preparing, true })
	if busy {
		return nil // another call is preparing it
	}
	err = e.compile(ctx, r, spec)
	e.profiles.with(spec.Key, func(a *functionProfile) { a.record(err) })
	return err
}

// compile makes a training run of a function and stores its code cache.
func (e *Engine) compile(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	ctx, cancel := e.host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	i, err := e.instances.Train(ctx, r, spec, instance.Activation{Record: true})
	if err != nil {
		return fmt.Errorf("run %s to prepare it: %w", spec.Name, err)
	}
	defer i.KillAndWait()
	samples := e.samples(spec)
	if err := i.SendSamples(ctx, samples, warmRounds); err != nil {
		return fmt.Errorf("warm %s up: %w", spec.Name, err)
	}
	resp, err := i.Ask(ctx, guest.QuestionArchive)
	if err != nil {
		return fmt.Errorf("make a code cache of %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	if err := e.archives.Put(spec.Key, i.Tag, resp.Body, codecache.Max); err != nil {
		return err
	}
	e.profiles.with(spec.Key, func(a *functionProfile) {
		a.trained = a.trained || len(a.samples) > 0 || !maySample(&spec.Function)
		a.cost = 0 // the known cost is that of starts without the code cache
	})
	return nil
}

// maySample reports whether the engine may send sample requests to a function.
// Functions that a framework has built render pages; a function that a user wrote
// for other clients, with the helpers of @vercel/node, may have any effect on a GET.
func maySample(f *lateen.Function) bool { return f.Framework != nil || !f.AddHelpers }

// samples returns the sample requests that warm a function up.
func (e *Engine) samples(spec lateen.FunctionSpec) []instance.Sample {
	if !maySample(&spec.Function) {
		return nil
	}
	var samples []instance.Sample
	e.profiles.with(spec.Key, func(a *functionProfile) { samples = append(samples, a.samples...) })
	if len(samples) == 0 {
		samples = []instance.Sample{instance.GuessSample(spec.Name)}
	}
	return samples
}

// queuePreparation queues the next preparation of a function, if any would make its
// later starts cheaper. Preparations run one at a time, and the projects take turns.
func (e *Engine) queuePreparation(spec lateen.FunctionSpec, tag string) {
	l := preparedState{cached: e.archives.Find(spec.Key, tag) != nil, templates: e.templates.Enabled(), template: e.templates.Has(spec.Key)}
	wanted := actionNone
	e.profiles.with(spec.Key, func(a *functionProfile) {
		if a.preparing || !a.due(time.Now()) {
			return
		}
		l.trained, l.samples, l.cost, l.forkable = a.trained, len(a.samples), a.cost, a.forkable
		wanted = nextAction(l)
		a.preparing = wanted != actionNone
	})
	if wanted == actionNone {
		return
	}
	if out, full := e.preparing.Put(spec.Project, preparation{spec, wanted}); full { // a later start tries again
		e.profiles.with(out.spec.Key, func(a *functionProfile) { a.preparing = false })
	}
}

// preparation is a queued action for a function.
type preparation struct {
	spec   lateen.FunctionSpec
	action action
}

// runPreparations runs the queued preparations until ctx ends.
func (e *Engine) runPreparations(ctx context.Context) {
	for {
		p, err := e.preparing.Next(ctx)
		if err != nil {
			return
		}
		err = e.runPreparation(ctx, p)
		e.profiles.with(p.spec.Key, func(a *functionProfile) { a.record(err) })
		if err != nil && ctx.Err() == nil {
			e.o.Log.InfoContext(ctx, "function not prepared", "function", p.spec.Name, "deployment_id", p.spec.Deployment, "err", err)
		}
	}
}

// makeTemplate makes a template of a function, unless the function cannot be forked.
func (e *Engine) makeTemplate(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	var forkable forkability
	e.profiles.with(spec.Key, func(a *functionProfile) { forkable = a.forkable })
	samples := e.samples(spec)
	if forkable == whenLoaded {
		samples = nil
	}
	err := e.templates.Make(ctx, r, spec, samples, func() { e.disableTemplates(spec) })
	var why process.RefusalError
	if errors.As(err, &why) {
		e.profiles.with(spec.Key, func(a *functionProfile) {
			a.forkable, a.unforkable = never, string(why)
			if len(samples) > 0 {
				a.forkable = whenLoaded
			}
		})
		return fmt.Errorf("make a template of %s: %w", spec.Name, err)
	}
	return err
}

// disableTemplates disables templates for a function after a forked process ended
// unexpectedly.
func (e *Engine) disableTemplates(spec lateen.FunctionSpec) {
	e.profiles.with(spec.Key, func(a *functionProfile) { a.forkable, a.unforkable = never, "its forked processes exit unexpectedly" })
	e.o.Log.Warn("templates disabled for function: forked process exited unexpectedly", "function", spec.Name, "deployment_id", spec.Deployment)
}

func (e *Engine) runPreparation(ctx context.Context, p preparation) error {
	r, _, err := e.runtimeFor(&p.spec.Function)
	if err != nil {
		return err
	}
	if p.action == actionTemplate {
		return e.makeTemplate(ctx, r, p.spec)
	}
	return e.compile(ctx, r, p.spec)
}

var _ engine.Engine = (*Engine)(nil)
