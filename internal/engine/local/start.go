package local

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
)

// maxClaims is how many processes a start takes that end before they have the
// function: whatever ends them all at once, it is nothing the function did.
const maxClaims = 4

// errGone says that a process ended before it had its function.
var errGone = errors.New("the process ended before it had the function")

// start starts an instance in the shortest way there is.
func (e *Engine) start(ctx context.Context, r *runner, spec lateen.FunctionSpec, tree, notice string) (engine.Instance, error) {
	began := time.Now()
	if r.compiles {
		if i := e.startLoaded(ctx, spec, notice, began); i != nil {
			return i, nil
		}
	}
	t := e.templateOf(spec)
	hand := atHand{template: t != nil, blank: r.blanks.Ready() && len(r.bootEnv(spec.Env)) == 0}
	e.known.with(spec.Key, func(a *acquaintance) { hand.cost, a.seen = a.cost, began })
	if tier(hand) == lateen.StartTemplate {
		i, err := e.startFork(ctx, t, spec, notice, began)
		if err == nil {
			return i, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.o.Log.WarnContext(ctx, "a template is given up", "function", spec.Name, "deployment_id", spec.Deployment, "err", err)
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
		notice = "" // it was said
	}
}

// startBlank starts an instance from a blank process, or one of its own.
func (e *Engine) startBlank(ctx context.Context, r *runner, spec lateen.FunctionSpec, tree, notice string, began time.Time) (*instance, error) {
	w, kind, err := e.claim(ctx, r, &spec)
	if err != nil {
		return nil, err
	}
	claimed := time.Now()
	i := newInstance(ctx, e, spec, w)
	i.began, i.prepares, i.answers = began, r.warm, r.warm || r.compiles
	if notice != "" {
		i.say(lateen.LevelWarning, notice)
	}
	i.goOut()
	if err := i.load(ctx, tree, lesson{archive: e.worthwhile(spec.Key, w.tag)}); err != nil {
		return nil, err
	}
	i.phases = engine.Phases{Kind: kind, Claim: claimed.Sub(began), Load: time.Since(claimed)}
	if r.compiles && i.Usage().CPU > templateFrom {
		e.templates.keepLoaded(r, spec)
	}
	return i, nil
}

// startFork starts an instance from a template: of its spare, or of a child
// that it forks now.
func (e *Engine) startFork(ctx context.Context, t *template, spec lateen.FunctionSpec, notice string, began time.Time) (*instance, error) {
	emerge := func(w *worker, spare bool) (*instance, error) {
		claimed := time.Now()
		i := newInstance(ctx, e, spec, w)
		i.began, i.prepares, i.answers, i.template, i.spare = began, true, true, t, spare
		if err := w.process.Limit(i.limits()); err != nil {
			e.o.Log.WarnContext(ctx, "an instance is not bounded", "instance", i.id, "err", err)
		}
		i.goOut()
		if notice != "" {
			i.say(lateen.LevelWarning, notice)
		}
		if err := i.emerge(ctx); err != nil {
			return nil, err
		}
		i.phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(began), Load: time.Since(claimed)}
		return i, nil
	}
	if w := e.templates.take(t); w != nil {
		if i, err := emerge(w, true); err == nil || ctx.Err() != nil {
			return i, err
		}
	}
	w, err := e.fork(ctx, t)
	if err == nil {
		err = guest.Settle(w.ends.control, nil)
	}
	if err != nil {
		return nil, err
	}
	return emerge(w, false)
}

// emerge has a child of a template take requests.
func (i *instance) emerge(ctx context.Context) error {
	i.worker.mu.Lock()
	i.receiver = i.receive
	i.worker.mu.Unlock()
	if err := guest.Settle(i.ends.control, nil); err != nil {
		i.Kill()
		return err
	}
	return i.await(ctx)
}

// worthwhile is the archive that a process is to load a function from; nil where
// that is faster without one.
func (e *Engine) worthwhile(key lateen.FunctionKey, tag string) *archive.Archive {
	if a := e.archives.Find(key, tag); a != nil && (a.Size >= e.archiveFrom || a.Modules) {
		return a
	}
	return nil
}

// reject gives up the archive that an instance could not use. It is made anew.
func (e *Engine) reject(i *instance) {
	e.o.Log.Info("an archive is made anew", "function", i.spec.Name, "deployment_id", i.spec.Deployment)
	e.archives.Drop(i.spec.Key, i.tag)
	e.known.with(i.spec.Key, func(a *acquaintance) { a.refined = false })
}

// answered learns from the answers of an instance, above all from its first.
func (i *instance) answered(req *http.Request, resp *http.Response) {
	if i.rehearsal || !i.prepares || i.template != nil {
		return
	}
	i.first.Do(func() {
		took := time.Since(i.began)
		v, ok := visitOf(req)
		i.engine.attend(func() { i.learn(took, v, ok && resp.StatusCode == http.StatusOK) })
	})
}

// learn takes note of how long the start took, to the end of the first answer.
func (i *instance) learn(took time.Duration, v visit, repeats bool) {
	cost := min(took, i.Usage().CPU) // not what it waited for others
	i.engine.known.with(i.spec.Key, func(a *acquaintance) {
		if a.cost == 0 || cost < a.cost {
			a.cost = cost
		}
	})
	if repeats {
		i.engine.known.visited(i.spec.Key, v)
	}
	i.engine.consider(i.spec, cmp.Or(i.usual, i.tag))
}
