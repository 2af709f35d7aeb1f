package learn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
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

// Prepare makes a code cache of a function, unless a preparation of it is queued or in
// progress.
func (l *Learner) Prepare(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	var busy bool
	l.profiles.with(spec.Key, func(a *Profile) { busy, a.Preparing = a.Preparing, true })
	if busy {
		return nil // another call is preparing it
	}
	err := l.compile(ctx, r, spec)
	l.profiles.with(spec.Key, func(a *Profile) { a.record(err) })
	return err
}

// compile makes a training run of a function and stores its code cache.
func (l *Learner) compile(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	ctx, cancel := l.group.Host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	i, err := l.group.Train(ctx, r, spec, instance.Activation{Record: true})
	if err != nil {
		return fmt.Errorf("run %s to prepare it: %w", spec.Name, err)
	}
	defer i.KillAndWait()
	samples := l.samples(spec)
	if err := instance.SendSamples(ctx, i, samples, warmRounds); err != nil {
		return fmt.Errorf("warm %s up: %w", spec.Name, err)
	}
	resp, err := i.Operate(ctx, guest.OperationArchive)
	if err != nil {
		return fmt.Errorf("make a code cache of %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	if err := l.archives.Put(spec.Key, i.Tag, resp.Body, codecache.Max); err != nil {
		return err
	}
	l.profiles.with(spec.Key, func(a *Profile) {
		a.Trained = a.Trained || len(a.Samples) > 0 || !maySample(&spec.Function)
		a.Cost = 0 // the known cost is that of starts without the code cache
	})
	return nil
}

// maySample reports whether the engine may send sample requests to a function.
// Functions that a framework has built render pages; a function that a user wrote
// for other clients, with the helpers of @vercel/node, may have any effect on a GET.
func maySample(f *lateen.Function) bool { return f.Framework != nil || !f.AddHelpers }

// samples returns the sample requests that warm a function up.
func (l *Learner) samples(spec lateen.FunctionSpec) []instance.Sample {
	if !maySample(&spec.Function) {
		return nil
	}
	var samples []instance.Sample
	l.profiles.with(spec.Key, func(a *Profile) { samples = append(samples, a.Samples...) })
	if len(samples) == 0 {
		samples = []instance.Sample{instance.GuessSample(spec.Name)}
	}
	return samples
}

// Queue queues the next preparation of a function, if any would make its
// later starts cheaper. Preparations run one at a time, and the projects take turns.
func (l *Learner) Queue(r *process.Runner, spec lateen.FunctionSpec, tag string) {
	state := preparedState{cached: l.archives.Find(spec.Key, tag) != nil, templates: l.templates.Enabled(), template: l.templates.Has(spec.Key)}
	wanted := actionNone
	l.profiles.with(spec.Key, func(a *Profile) {
		if a.Preparing || !a.due(time.Now()) {
			return
		}
		state.trained, state.samples, state.cost, state.forkable = a.Trained, len(a.Samples), a.Cost, a.Forkable
		wanted = nextAction(state)
		a.Preparing = wanted != actionNone
	})
	if wanted == actionNone {
		return
	}
	if out, full := l.queue.Put(spec.Project, preparation{r, spec, wanted}); full { // a later start tries again
		l.profiles.with(out.spec.Key, func(a *Profile) { a.Preparing = false })
	}
}

// preparation is a queued action for a function.
type preparation struct {
	runner *process.Runner
	spec   lateen.FunctionSpec
	action action
}

// Run runs the queued preparations until ctx ends.
func (l *Learner) Run(ctx context.Context) {
	for {
		p, err := l.queue.Next(ctx)
		if err != nil {
			return
		}
		err = l.runPreparation(ctx, p)
		l.profiles.with(p.spec.Key, func(a *Profile) { a.record(err) })
		if err != nil && ctx.Err() == nil {
			l.group.Host.Log.InfoContext(ctx, "function not prepared", "function", p.spec.Name, "deployment_id", p.spec.Deployment, "err", err)
		}
	}
}

// MakeTemplate makes a template of a function, unless the function cannot be forked.
func (l *Learner) MakeTemplate(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	var forkable Forkability
	l.profiles.with(spec.Key, func(a *Profile) { forkable = a.Forkable })
	samples := l.samples(spec)
	if forkable == WhenLoaded {
		samples = nil
	}
	err := l.templates.Make(ctx, r, spec, samples, func() { l.disableTemplates(spec) })
	var why process.RefusalError
	if errors.As(err, &why) {
		l.profiles.with(spec.Key, func(a *Profile) {
			a.Forkable, a.Unforkable = Never, string(why)
			if len(samples) > 0 {
				a.Forkable = WhenLoaded
			}
		})
		return fmt.Errorf("make a template of %s: %w", spec.Name, err)
	}
	return err
}

// disableTemplates disables templates for a function after a forked process ended
// unexpectedly.
func (l *Learner) disableTemplates(spec lateen.FunctionSpec) {
	l.profiles.with(spec.Key, func(a *Profile) { a.Forkable, a.Unforkable = Never, "its forked processes exit unexpectedly" })
	l.group.Host.Log.Warn("templates disabled for function: forked process exited unexpectedly", "function", spec.Name, "deployment_id", spec.Deployment)
}

func (l *Learner) runPreparation(ctx context.Context, p preparation) error {
	if p.action == actionTemplate {
		return l.MakeTemplate(ctx, p.runner, p.spec)
	}
	return l.compile(ctx, p.runner, p.spec)
}
