package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	warmRounds     = 6                // rounds of sample requests for a code cache
	templateRounds = 20               // rounds for a template, as its forked processes have no time to warm up
	sampleTimeout  = 10 * time.Second // time limit of one sample request; after a timeout no others follow
	prepareTimeout = 60 * time.Second // time limit of one preparation
	maxPreparing   = 256              // maximum length of the queue of functions
	retryPrepare   = time.Minute      // backoff after a failure, doubled after each further one
	retryDoublings = 6                // maximum number of doublings
)

// Prepare makes a code cache of a function; see [engine.Engine].
func (e *Engine) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	r, _, err := e.runtimeFor(&spec.Function)
	if err != nil {
		return err
	}
	if r.Compiles {
		return e.compiled(ctx, r, spec, false)
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
	ctx, cancel := e.host.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	i, err := e.startTraining(ctx, r, spec, activation{record: true})
	if err != nil {
		return fmt.Errorf("run %s to prepare it: %w", spec.Name, err)
	}
	defer i.killAndWait()
	samples := e.samples(spec)
	if err := i.sendSamples(ctx, samples, warmRounds); err != nil {
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

// startTraining starts an instance for a training run, muted and without a network,
// at a moment when no start is in progress.
func (e *Engine) startTraining(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, l activation) (*instance, error) {
	tree, err := e.o.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out its files: %w", err)
	}
	if err := e.rush.Over(ctx); err != nil {
		return nil, err
	}
	w, err := e.host.Boot(ctx, process.BootOptions{Runner: r, Background: true, Env: r.BootEnv(spec.Env)})
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	i := newInstance(ctx, e, spec, w)
	i.training = true
	return i, i.load(ctx, tree, l)
}

// killAndWait kills an instance after its training run.
func (i *instance) killAndWait() {
	i.Kill()
	<-i.Exited
}

// maySample reports whether the engine may send sample requests to a function.
// Functions that a framework has built render pages; a function that a user wrote
// for other clients, with the helpers of @vercel/node, may have any effect on a GET.
func maySample(f *lateen.Function) bool { return f.Framework != nil || !f.AddHelpers }

// samples returns the sample requests that warm a function up.
func (e *Engine) samples(spec lateen.FunctionSpec) []sampleRequest {
	if !maySample(&spec.Function) {
		return nil
	}
	var samples []sampleRequest
	e.profiles.with(spec.Key, func(a *functionProfile) { samples = append(samples, a.samples...) })
	if len(samples) == 0 {
		samples = []sampleRequest{guessSample(spec.Name)}
	}
	return samples
}

// errHangs means that a function did not answer a sample request.
var errHangs = errors.New("it does not answer")

// sendSamples sends the sample requests to an instance for a number of rounds, or
// until the time is over; the responses do not matter. It fails at the first request
// without a response, since the following ones would probably hang too.
func (i *instance) sendSamples(ctx context.Context, samples []sampleRequest, rounds int) error {
	began := time.Now()
	for range rounds {
		for _, v := range samples {
			if isClosed(i.done) || time.Since(began) > i.engine.sampleTime {
				return nil
			}
			if err := i.sendSample(ctx, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *instance) sendSample(ctx context.Context, v sampleRequest) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.engine.sampleTime, errHangs)
	defer cancel()
	header := http.Header{"X-Forwarded-Host": {v.host}, "X-Forwarded-Proto": {"https"}}
	if v.matched != "" {
		header.Set("X-Matched-Path", v.matched)
	}
	if v.accept != "" {
		header.Set("Accept", v.accept)
	}
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: v.path}, Host: v.host, Header: header}).WithContext(ctx)
	resp, err := i.RoundTrip(req)
	if err != nil {
		return context.Cause(ctx) // a function that fails is warm, too
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, codecache.Max)) // an error does not matter either, and a stream may have no end
	return nil
}

// queuePreparation queues the next preparation of a function, if any would make its
// later starts cheaper. Preparations run one at a time, and the projects take turns.
func (e *Engine) queuePreparation(spec lateen.FunctionSpec, tag string) {
	l := preparedState{cached: e.archives.Find(spec.Key, tag) != nil, templates: e.templates.limit > 0}
	wanted := actionNone
	e.profiles.with(spec.Key, func(a *functionProfile) {
		if a.preparing || !a.due(time.Now()) {
			return
		}
		l.trained, l.samples, l.cost, l.template, l.forkable = a.trained, len(a.samples), a.cost, a.template != nil, a.forkable
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

// sameFunction reports whether two specs describe a function of equal behavior.
func sameFunction(x, y lateen.FunctionSpec) bool { return reflect.DeepEqual(x, y) }

var _ engine.Engine = (*Engine)(nil)
