package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	defaultTemplates = 1024            // MiB of all templates
	earlyExit        = 5 * time.Second // a forked process that ends within this time is a fault of its template
)

// templates are the most recently used processes from which instances are forked.
type templates struct {
	limit int64         // bytes of all templates and standbys; 0 disables templates
	wake  chan struct{} // holds a token when keepSpares has work

	mu  sync.Mutex // guards the fields below
	all []*template
}

// template is a process that has loaded a function and only forks. The template of a
// WebAssembly module has no process except for its standby: see module_standby.go.
type template struct {
	*instance.Instance // nil for a module

	spec      lateen.FunctionSpec
	runner    *process.Runner // only of a module
	footprint []guest.Range   // memory that a forked process has touched after its first response

	// The mutex of templates guards the fields below.
	memory   memoryUse
	lastUsed time.Time
	standby  *process.Process // nil: the template has none
	gap      standbyGap       // state while spare is nil
	failures int              // number of failed standbys in a row
	forks    int              // number of forked processes, including the standby
	retired  bool             // no process is forked any more

	sending sync.Mutex // serializes messages to the process
}

// forkLibrary returns the path of the library inside the sandbox.
func (e *Engine) forkLibrary() string {
	if e.host.Sandbox.PrivateTmp() {
		return guestAgent + "/" + guest.ForkLibrary
	}
	return filepath.Join(filepath.Dir(e.agent), guest.ForkLibrary)
}

// makeTemplate makes a template of a function, unless the function cannot be forked.
func (e *Engine) makeTemplate(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec) error {
	ctx, cancel := e.host.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	var forkable forkability
	e.profiles.with(spec.Key, func(a *functionProfile) { forkable = a.forkable })
	samples := e.samples(spec)
	if forkable == whenLoaded {
		samples = nil
	}
	t, err := e.newTemplate(ctx, r, spec, samples)
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
	if err != nil {
		return err
	}
	e.templates.add(t)
	e.profiles.with(spec.Key, func(a *functionProfile) { a.template = t })
	if !e.host.Go(func() {
		<-t.Exited
		if e.dropTemplate(t) && !e.host.Ending() {
			e.o.Log.Warn("template ended", "function", spec.Name, "deployment_id", spec.Deployment, "how", t.ExitError())
		}
	}) {
		e.dropTemplate(t)
	}
	e.o.Log.InfoContext(ctx, "template created", "function", spec.Name, "deployment_id", spec.Deployment, "bytes", t.memory.template)
	return nil
}

// newTemplate boots a process, warms it up and turns it into a template.
func (e *Engine) newTemplate(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, samples []instance.Sample) (*template, error) {
	i, err := e.instances.Train(ctx, r.Forking(e.forkLibrary()), spec, instance.Activation{Template: e.forkLibrary()})
	if err != nil {
		return nil, fmt.Errorf("run %s for a template: %w", spec.Name, err)
	}
	if err := i.SendSamples(ctx, samples, templateRounds); err != nil {
		i.KillAndWait()
		return nil, fmt.Errorf("warm %s up for a template: %w", spec.Name, err)
	}
	resp, err := i.Ask(ctx, guest.QuestionFork)
	if err != nil {
		i.KillAndWait()
		return nil, err
	}
	resp.Body.Close()
	if i.Link.Used() { // forked processes would inherit the function's reaction to the failed attempt
		i.KillAndWait()
		return nil, process.RefusalError("it tried to reach the network")
	}
	if err := i.Sandboxed.Foreground(); err != nil { // forked processes inherit the priority
		i.KillAndWait()
		return nil, err
	}
	t := &template{Instance: i, spec: spec, memory: memoryUse{i.Usage().Memory, assumedStandbyMemory}, lastUsed: time.Now()}
	if t.footprint, err = e.recordFootprint(ctx, t, samples); err != nil {
		i.KillAndWait()
		return nil, err
	}
	return t, nil
}

// recordFootprint forks a process in a training run, lets it answer requests, and
// returns the memory that it has touched.
func (e *Engine) recordFootprint(ctx context.Context, t *template, samples []instance.Sample) ([]guest.Range, error) {
	w, err := e.fork(ctx, t)
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	i := e.instances.Add(ctx, w, instance.Options{Spec: t.spec, Training: true})
	defer i.KillAndWait()
	if err := errors.Join(guest.Settle(w.Control(), nil), i.Resume(ctx)); err != nil {
		return nil, err
	}
	if err := i.SendSamples(ctx, samples, 1); err != nil || i.Lost() {
		return nil, process.RefusalError("its forked processes do not answer")
	}
	footprint, err := footprintOf(i.Sandboxed.ID())
	if err != nil { // without a footprint the forked processes take page faults instead
		e.o.Log.InfoContext(ctx, "memory footprint of a template unknown; its forked processes take page faults", "function", t.spec.Name, "deployment_id", t.spec.Deployment, "err", err)
	}
	return footprint, nil
}

// add adds a template, and retires the least recently used ones if memory is short.
func (ts *templates) add(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.gap.since = time.Now()
	ts.all = append(ts.all, t)
	ts.trimLocked()
	ts.wakeUp()
}

// fitLocked sorts the templates, and returns how many of them, and of their
// standbys, fit into the memory.
func (ts *templates) fitLocked() (templates, standbys int) {
	slices.SortFunc(ts.all, func(x, y *template) int { return y.lastUsed.Compare(x.lastUsed) })
	all := make([]memoryUse, len(ts.all))
	for n, t := range ts.all {
		all[n] = t.memory
	}
	return fitTemplates(ts.limit, all)
}

// trimLocked retires the templates and standbys that do not fit into the memory.
func (ts *templates) trimLocked() {
	templates, standbys := ts.fitLocked()
	for _, t := range ts.all[standbys:] {
		if t.Instance != nil {
			t.dropStandbyLocked()
		}
	}
	for _, extra := range ts.all[templates:] {
		extra.retireLocked()
	}
	ts.all = ts.all[:templates]
}

// remove removes a template and its standby.
func (ts *templates) remove(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = slices.DeleteFunc(ts.all, func(x *template) bool { return x == t })
	t.retireLocked()
}

// retireLocked ends a template after its last forked process: they depend on it.
func (t *template) retireLocked() {
	t.retired = true
	t.dropStandbyLocked()
	if t.forks == 0 {
		t.Kill()
	}
}

// addFork and removeFork count the forked processes of a template.
func (ts *templates) addFork(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.forks++
}

func (ts *templates) removeFork(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.forks--; t.forks == 0 && t.retired {
		t.Kill()
	}
}

// Kill ends the process of a template.
func (t *template) Kill() {
	if t.Instance != nil {
		t.Instance.Kill()
	}
}

// gone reports whether the process of a template has ended.
func (t *template) gone() bool { return t.Instance != nil && t.Gone() }

func (t *template) dropStandbyLocked() {
	if t.standby != nil {
		t.standby.Kill()
		t.standby = nil
	}
}

// dropTemplate ends the use of a template; false if it was dropped before.
func (e *Engine) dropTemplate(t *template) (dropped bool) {
	e.templates.remove(t)
	e.profiles.with(t.spec.Key, func(a *functionProfile) {
		if a.template == t {
			a.template, dropped = nil, true
		}
	})
	return dropped
}

// Forget drops all facts, code caches and templates of a deleted deployment.
func (e *Engine) Forget(d lateen.DeploymentID) {
	e.archives.Forget(d)
	for _, t := range e.templates.of(d) {
		e.dropTemplate(t)
	}
	e.profiles.forget(d)
}

// of returns the templates of a deployment.
func (ts *templates) of(d lateen.DeploymentID) []*template {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var all []*template
	for _, t := range ts.all {
		if t.spec.Deployment == d {
			all = append(all, t)
		}
	}
	return all
}

// templateOf returns the template of a function, nil if there is none.
func (e *Engine) templateOf(spec lateen.FunctionSpec) *template {
	var t *template
	e.profiles.with(spec.Key, func(a *functionProfile) { t = a.template })
	if t == nil {
		return nil
	}
	if t.gone() || !sameFunction(t.spec, spec) {
		e.dropTemplate(t)
		return nil
	}
	return t
}

// fork forks a process from a template. The process waits until guest.Settle.
func (e *Engine) fork(ctx context.Context, t *template) (*process.Process, error) {
	e.templates.addFork(t)
	w, err := e.host.Fork(ctx, t.Process, t.order, func(w *process.Process) {
		e.templates.standbyEnded(t, w)
		e.templates.removeFork(t)
	})
	if err != nil {
		e.templates.removeFork(t)
		return nil, fmt.Errorf("fork %s: %w", t.spec.Name, err)
	}
	return w, nil
}

// order makes the template fork a process with these ends.
func (t *template) order(ends []*os.File, deadline time.Time) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return t.Send([]byte{0}, ends, deadline)
}

// forkEnded handles the end of an instance that was forked from a template. crashed
// means that it ended unexpectedly soon after its start.
func (e *Engine) forkEnded(t *template, crashed bool) {
	if e.host.Sandbox.PrivateTmp() && tmpNearlyFull(t.Sandboxed.ID()) {
		e.dropTemplate(t) // all processes of a template share its temporary files; this bounds their size
	}
	if crashed {
		e.disableTemplates(t) // before another start can use the template
	}
}

// disableTemplates disables templates for a function after a forked process ended
// unexpectedly.
func (e *Engine) disableTemplates(t *template) {
	e.dropTemplate(t)
	e.profiles.with(t.spec.Key, func(a *functionProfile) { a.forkable, a.unforkable = never, "its forked processes exit unexpectedly" })
	e.o.Log.Warn("templates disabled for function: forked process exited unexpectedly", "function", t.spec.Name, "deployment_id", t.spec.Deployment)
}
