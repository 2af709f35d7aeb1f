package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

// MinCost is the duration of a start above which a template is worth its memory:
// below it, a start from a blank process is as fast.
const MinCost = 15 * time.Millisecond

// rounds is the number of rounds of sample requests, many as forked processes have no
// time to warm up.
const rounds = 20

// Template is a process that has loaded a function and only forks. The template of a
// module has no process except for its standby: see module.go.
type Template struct {
	*instance.Instance // nil for a module

	spec      lateen.FunctionSpec
	load      func(context.Context) (*process.Process, error) // loads a standby; only of a module
	crashed   func()                                          // called when a forked process has ended unexpectedly
	footprint []guest.Range                                   // memory that a forked process has touched after its first response

	// The mutex of Templates guards the fields below.
	memory   memoryUse
	lastUsed time.Time
	standby  *process.Process // nil: the template has none
	gap      standbyGap       // state while standby is nil
	failures int              // number of failed standbys in a row
	forks    int              // number of forked processes, including the standby
	retired  bool             // no process is forked any more

	sending sync.Mutex // serializes messages to the process
}

// Make makes a template of a function, warmed up with sample requests, and makes
// starts use it. The error is a [process.RefusalError] if the function cannot be
// forked. crashed is called when a forked process has ended unexpectedly soon after
// its start; the template is dropped then.
func (ts *Templates) Make(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, samples []instance.Sample, crashed func()) error {
	h := ts.group.Host
	ctx, cancel := h.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	t, err := ts.boot(ctx, r, spec, samples)
	if err != nil {
		return err
	}
	t.crashed = crashed
	ts.add(t)
	if !h.Go(func() {
		<-t.Exited
		if ts.Drop(t) && !h.Ending() {
			h.Log.Warn("template ended", "function", spec.Name, "deployment_id", spec.Deployment, "how", t.ExitError())
		}
	}) {
		ts.Drop(t)
	}
	h.Log.InfoContext(ctx, "template created", "function", spec.Name, "deployment_id", spec.Deployment, "bytes", t.memory.template)
	return nil
}

// boot boots a process, warms it up and turns it into a template.
func (ts *Templates) boot(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, samples []instance.Sample) (*Template, error) {
	i, err := ts.group.Train(ctx, r.Forking(ts.library), spec, instance.Activation{Template: ts.library})
	if err != nil {
		return nil, fmt.Errorf("run %s for a template: %w", spec.Name, err)
	}
	if err := instance.SendSamples(ctx, i, samples, rounds); err != nil {
		i.KillAndWait()
		return nil, fmt.Errorf("warm %s up for a template: %w", spec.Name, err)
	}
	resp, err := i.Operate(ctx, guest.OperationFork)
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
	t := &Template{Instance: i, spec: spec, memory: memoryUse{i.Usage().Memory, assumedStandbyMemory}, lastUsed: time.Now()}
	if t.footprint, err = ts.recordFootprint(ctx, t, samples); err != nil {
		i.KillAndWait()
		return nil, err
	}
	return t, nil
}

// recordFootprint forks a process in a training run, lets it answer requests, and
// returns the memory that it has touched.
func (ts *Templates) recordFootprint(ctx context.Context, t *Template, samples []instance.Sample) ([]guest.Range, error) {
	w, err := ts.fork(ctx, t)
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	i := ts.group.Add(ctx, w, instance.Options{Spec: t.spec, Training: true})
	defer i.KillAndWait()
	if err := errors.Join(guest.Settle(w.Control(), nil), i.Resume(ctx)); err != nil {
		return nil, err
	}
	if err := instance.SendSamples(ctx, i, samples, 1); err != nil || i.Lost() {
		return nil, process.RefusalError("its forked processes do not answer")
	}
	footprint, err := footprintOf(i.Sandboxed.ID())
	if err != nil { // without a footprint the forked processes take page faults instead
		ts.group.Host.Log.InfoContext(ctx, "memory footprint of a template unknown; its forked processes take page faults", "function", t.spec.Name, "deployment_id", t.spec.Deployment, "err", err)
	}
	return footprint, nil
}

// retireLocked ends a template after its last forked process: they depend on it.
func (t *Template) retireLocked() {
	t.retired = true
	t.dropStandbyLocked()
	if t.forks == 0 {
		t.Kill()
	}
}

// Kill ends the process of a template.
func (t *Template) Kill() {
	if t.Instance != nil {
		t.Instance.Kill()
	}
}

// gone reports whether the process of a template has ended.
func (t *Template) gone() bool { return t.Instance != nil && t.Gone() }

// fork forks a process from a template. The process waits until guest.Settle.
func (ts *Templates) fork(ctx context.Context, t *Template) (*process.Process, error) {
	ts.addFork(t)
	w, err := ts.group.Host.Fork(ctx, t.Process, t.order, func(w *process.Process) {
		ts.standbyEnded(t, w)
		ts.removeFork(t)
	})
	if err != nil {
		ts.removeFork(t)
		return nil, fmt.Errorf("fork %s: %w", t.spec.Name, err)
	}
	return w, nil
}

// addFork and removeFork count the forked processes of a template.
func (ts *Templates) addFork(t *Template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.forks++
}

func (ts *Templates) removeFork(t *Template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.forks--; t.forks == 0 && t.retired {
		t.Kill()
	}
}

// order makes the template fork a process with these ends.
func (t *Template) order(ends []*os.File, deadline time.Time) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return t.Send([]byte{0}, ends, deadline)
}
