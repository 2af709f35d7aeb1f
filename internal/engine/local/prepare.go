package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	warmRounds     = 6                // of the requests that warm a process up for an archive
	templateRounds = 20               // and for a template, whose children have no time to
	visitTimeout   = 10 * time.Second // of one of them; one that has no answer then is the last
	prepareTimeout = 60 * time.Second // of all there is to it
	maxPreparing   = 256              // functions that wait for it
	retryPrepare   = time.Minute      // after which it is tried again, and twice as long after each failure
	retryDoublings = 6                // at most
)

// Prepare makes an archive of a function; see [engine.Engine].
func (e *Engine) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	r, _, err := e.runtimeFor(&spec.Function)
	if err != nil {
		return err
	}
	if r.compiles {
		return e.compiled(ctx, r, spec, false)
	}
	if !r.warm {
		return r.blanks.Find(ctx) // it is not the agent of Node.js that loads it
	}
	var busy bool
	e.known.with(spec.Key, func(a *acquaintance) { busy, a.busy = a.busy, true })
	if busy {
		return nil // by what set that off before
	}
	err = e.compile(ctx, r, spec)
	e.known.with(spec.Key, func(a *acquaintance) { a.tried(err) })
	return err
}

// compile runs a function where nobody sees it and stores what it compiled to.
func (e *Engine) compile(ctx context.Context, r *runner, spec lateen.FunctionSpec) error {
	ctx, cancel := e.within(ctx, prepareTimeout)
	defer cancel()
	i, err := e.rehearse(ctx, r, spec, lesson{record: true})
	if err != nil {
		return fmt.Errorf("run %s to prepare it: %w", spec.Name, err)
	}
	defer i.dismiss()
	visits := e.visits(spec)
	if err := i.exercise(ctx, visits, warmRounds); err != nil {
		return fmt.Errorf("warm %s up: %w", spec.Name, err)
	}
	resp, err := i.question(ctx, guest.QuestionArchive)
	if err != nil {
		return fmt.Errorf("archive %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	if err := e.archives.Put(spec.Key, i.tag, resp.Body, archive.Max); err != nil {
		return err
	}
	e.known.with(spec.Key, func(a *acquaintance) {
		a.refined = a.refined || len(a.visits) > 0 || !mayVisit(&spec.Function)
		a.cost = 0 // that was without it
	})
	return nil
}

// rehearse starts an instance of which nobody hears, and which cannot go out,
// once nobody waits for a start.
func (e *Engine) rehearse(ctx context.Context, r *runner, spec lateen.FunctionSpec, l lesson) (*instance, error) {
	tree, err := e.o.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out its files: %w", err)
	}
	if err := e.rush.Over(ctx); err != nil {
		return nil, err
	}
	w, err := e.boot(ctx, bootOptions{runner: r, background: true, env: r.bootEnv(spec.Env)})
	if err != nil {
		return nil, err
	}
	w.output.mute()
	i := newInstance(ctx, e, spec, w)
	i.rehearsal = true
	return i, i.load(ctx, tree, l)
}

// dismiss ends an instance that served its purpose.
func (i *instance) dismiss() {
	i.Kill()
	<-i.exited
}

// mayVisit reports whether requests may be made up for a function. Those that a
// framework has built render pages; what a user wrote for others to call, and
// has @vercel/node's helpers, may do anything on a GET.
func mayVisit(f *lateen.Function) bool { return f.Framework != nil || !f.AddHelpers }

// visits are the requests that warm a function up.
func (e *Engine) visits(spec lateen.FunctionSpec) []visit {
	if !mayVisit(&spec.Function) {
		return nil
	}
	var visits []visit
	e.known.with(spec.Key, func(a *acquaintance) { visits = append(visits, a.visits...) })
	if len(visits) == 0 {
		visits = []visit{guess(spec.Name)}
	}
	return visits
}

// errHangs says that a function has no answer to what it is asked.
var errHangs = errors.New("it does not answer")

// exercise has an instance answer requests, whatever the answers are, so many
// times or as often as there is time for. It fails if one has no answer: others
// would wait for the next to hang as well.
func (i *instance) exercise(ctx context.Context, visits []visit, rounds int) error {
	began := time.Now()
	for range rounds {
		for _, v := range visits {
			if isClosed(i.done) || time.Since(began) > i.engine.visitTime {
				return nil
			}
			if err := i.visit(ctx, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *instance) visit(ctx context.Context, v visit) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.engine.visitTime, errHangs)
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
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, archive.Max)) // as above, or streams for ever
	return nil
}

// question asks the agent something; a refusal is an error.
func (w *worker) question(ctx context.Context, what string) (*http.Response, error) {
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Host: "agent", Header: http.Header{}}).WithContext(ctx)
	req.Header.Set(guest.HeaderQuestion, what)
	resp, err := w.upstream.RoundTrip(req, 0)
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	why, err := io.ReadAll(io.LimitReader(resp.Body, maxFailureText))
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	return nil, refusal(bytes.ToValidUTF8(why, nil))
}

// refusal is an agent's reason not to do what it was asked.
type refusal string

// Error returns the reason.
func (r refusal) Error() string { return string(r) }

// consider has done for a function what would make its next starts cheaper, in
// the background, one function after the other and one of each project in turn.
func (e *Engine) consider(spec lateen.FunctionSpec, tag string) {
	l := learned{archived: e.archives.Find(spec.Key, tag) != nil, templates: e.templates.limit > 0}
	wanted := rest
	e.known.with(spec.Key, func(a *acquaintance) {
		if a.busy || !a.due(time.Now()) {
			return
		}
		l.refined, l.visits, l.cost, l.template, l.forkable = a.refined, len(a.visits), a.cost, a.template != nil, a.forkable
		wanted = next(l)
		a.busy = wanted != rest
	})
	if wanted == rest {
		return
	}
	if out, full := e.preparing.Put(spec.Project, preparation{spec, wanted}); full { // another time
		e.known.with(out.spec.Key, func(a *acquaintance) { a.busy = false })
	}
}

// preparation is what is to be done for a function.
type preparation struct {
	spec   lateen.FunctionSpec
	course course
}

// prepareAll does what was considered, until ctx ends.
func (e *Engine) prepareAll(ctx context.Context) {
	for {
		p, err := e.preparing.Next(ctx)
		if err != nil {
			return
		}
		err = e.carryOut(ctx, p)
		e.known.with(p.spec.Key, func(a *acquaintance) { a.tried(err) })
		if err != nil && ctx.Err() == nil {
			e.o.Log.InfoContext(ctx, "a function is not prepared", "function", p.spec.Name, "deployment_id", p.spec.Deployment, "err", err)
		}
	}
}

func (e *Engine) carryOut(ctx context.Context, p preparation) error {
	r, _, err := e.runtimeFor(&p.spec.Function)
	if err != nil {
		return err
	}
	if p.course == shape {
		return e.shape(ctx, r, p.spec)
	}
	return e.compile(ctx, r, p.spec)
}

// sameFunction reports whether two specs are of one function that would behave
// alike.
func sameFunction(x, y lateen.FunctionSpec) bool { return reflect.DeepEqual(x, y) }

var _ engine.Engine = (*Engine)(nil)
