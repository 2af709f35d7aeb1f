package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	forkTimeout      = 5 * time.Second
	defaultTemplates = 1024            // MiB of all templates
	soon             = 5 * time.Second // within which a child that dies is its template's fault
)

// templates are the processes that instances are forked from, the most recently
// used of them.
type templates struct {
	limit int64         // bytes of all, spares included; 0: there are none
	wake  chan struct{} // holds a token while spares are to be looked after

	mu  sync.Mutex // guards below
	all []*template
}

// template is a process that has loaded a function and only forks. That of a
// WebAssembly module has no process but its spare: see loaded.go.
type template struct {
	*instance // nil: of a module

	spec      lateen.FunctionSpec
	runner    *runner       // of a module
	footprint []guest.Range // what a child has touched when it has answered

	// Guarded by templates.
	holds    holding
	used     time.Time
	spare    *worker // nil: it has none
	lack     lack    // of one
	failures int     // of spares, in a row
	children int     // that there are, spares among them
	retired  bool    // it has no more

	speak sync.Mutex // one message at a time
}

// forking returns the runtime with what its processes need to fork. V8's helper
// threads would be missing in children, so there are none. Nor is there what
// collects garbage for lack of work: it counts the time in which a process stands
// still to be forked, so that each child would begin with a full collection.
func (e *Engine) forking(r *runner) *runner {
	shaped := *r
	shaped.name += " template"
	shaped.find = func(ctx context.Context) (command, error) {
		program, err := r.find(ctx)
		program.args = slices.Concat([]string{"--single-threaded", "--v8-pool-size=0", "--no-memory-reducer"}, program.args)
		return program, err
	}
	shaped.env = slices.Concat(r.env, []string{"LD_PRELOAD=" + e.forkLibrary()})
	return &shaped
}

// forkLibrary is where a process finds it.
func (e *Engine) forkLibrary() string {
	if e.sandbox.PrivateTmp() {
		return guestAgent + "/" + guest.ForkLibrary
	}
	return filepath.Join(filepath.Dir(e.agent), guest.ForkLibrary)
}

// shape makes a template of a function, unless the function is not one for
// templates.
func (e *Engine) shape(ctx context.Context, r *runner, spec lateen.FunctionSpec) error {
	ctx, cancel := e.within(ctx, prepareTimeout)
	defer cancel()
	var forkable forkability
	e.known.with(spec.Key, func(a *acquaintance) { forkable = a.forkable })
	visits := e.visits(spec)
	if forkable == whenLoaded {
		visits = nil
	}
	t, err := e.cast(ctx, r, spec, visits)
	var why refusal
	if errors.As(err, &why) {
		e.known.with(spec.Key, func(a *acquaintance) {
			a.forkable, a.why = never, string(why)
			if len(visits) > 0 {
				a.forkable = whenLoaded
			}
		})
		return fmt.Errorf("make a template of %s: %w", spec.Name, err)
	}
	if err != nil {
		return err
	}
	e.templates.add(t)
	e.known.with(spec.Key, func(a *acquaintance) { a.template = t })
	if !e.attend(func() {
		<-t.exited
		if e.dropTemplate(t) && !e.ending() {
			e.o.Log.Warn("a template ended", "function", spec.Name, "deployment_id", spec.Deployment, "how", t.death())
		}
	}) {
		e.dropTemplate(t)
	}
	e.o.Log.InfoContext(ctx, "a function has a template", "function", spec.Name, "deployment_id", spec.Deployment, "bytes", t.holds.template)
	return nil
}

// cast boots a process, warms it up and has it fork from then on.
func (e *Engine) cast(ctx context.Context, r *runner, spec lateen.FunctionSpec, visits []visit) (*template, error) {
	i, err := e.rehearse(ctx, e.forking(r), spec, lesson{template: e.forkLibrary()})
	if err != nil {
		return nil, fmt.Errorf("run %s for a template: %w", spec.Name, err)
	}
	if err := i.exercise(ctx, visits, templateRounds); err != nil {
		i.dismiss()
		return nil, fmt.Errorf("warm %s up for a template: %w", spec.Name, err)
	}
	resp, err := i.question(ctx, guest.QuestionFork)
	if err != nil {
		i.dismiss()
		return nil, err
	}
	resp.Body.Close()
	if i.outside.tried() { // in vain: children would inherit what it made of that
		i.dismiss()
		return nil, refusal("it tried to reach the network")
	}
	if err := i.process.Foreground(); err != nil { // children inherit it
		i.dismiss()
		return nil, err
	}
	t := &template{instance: i, spec: spec, holds: holding{i.Usage().Memory, firstSpare}, used: time.Now()}
	if t.footprint, err = e.scout(ctx, t, visits); err != nil {
		i.dismiss()
		return nil, err
	}
	return t, nil
}

// scout has a child of a template answer requests where nobody sees it, and
// returns which memory that took.
func (e *Engine) scout(ctx context.Context, t *template, visits []visit) ([]guest.Range, error) {
	w, err := e.fork(ctx, t)
	if err != nil {
		return nil, err
	}
	w.output.mute()
	i := newInstance(ctx, e, t.spec, w)
	i.rehearsal = true
	defer i.dismiss()
	if err := errors.Join(guest.Settle(w.ends.control, nil), i.emerge(ctx)); err != nil {
		return nil, err
	}
	if err := i.exercise(ctx, visits, 1); err != nil || i.Lost() {
		return nil, refusal("its children do not answer")
	}
	footprint, err := footprintOf(i.process.ID())
	if err != nil { // children go without, fault by fault
		e.o.Log.InfoContext(ctx, "a template's children touch memory anew", "function", t.spec.Name, "deployment_id", t.spec.Deployment, "err", err)
	}
	return footprint, nil
}

// add keeps a template, and gives up those that were not used for longest where
// there is no room for all.
func (ts *templates) add(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.lack.since = time.Now()
	ts.all = append(ts.all, t)
	ts.trimLocked()
	ts.look()
}

// fitLocked says how many of the templates there is room for, and for how many
// of their spares, after it has put them in order.
func (ts *templates) fitLocked() (templates, spares int) {
	slices.SortFunc(ts.all, func(x, y *template) int { return y.used.Compare(x.used) })
	all := make([]holding, len(ts.all))
	for n, t := range ts.all {
		all[n] = t.holds
	}
	return room(ts.limit, all)
}

// trimLocked gives up what there is no room for.
func (ts *templates) trimLocked() {
	templates, spares := ts.fitLocked()
	for _, t := range ts.all[spares:] {
		if t.instance != nil {
			t.dropSpareLocked()
		}
	}
	for _, extra := range ts.all[templates:] {
		extra.retireLocked()
	}
	ts.all = ts.all[:templates]
}

// remove takes a template out of what there is, and its spare.
func (ts *templates) remove(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = slices.DeleteFunc(ts.all, func(x *template) bool { return x == t })
	t.retireLocked()
}

// retireLocked ends a template once its last child has ended: they follow it.
func (t *template) retireLocked() {
	t.retired = true
	t.dropSpareLocked()
	if t.children == 0 {
		t.Kill()
	}
}

// born and died count a template's children.
func (ts *templates) born(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.children++
}

func (ts *templates) died(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.children--; t.children == 0 && t.retired {
		t.Kill()
	}
}

// Kill ends the template's process.
func (t *template) Kill() {
	if t.instance != nil {
		t.instance.Kill()
	}
}

// gone reports whether its process has ended.
func (t *template) gone() bool { return t.instance != nil && isClosed(t.exited) }

func (t *template) dropSpareLocked() {
	if t.spare != nil {
		t.spare.Kill()
		t.spare = nil
	}
}

// dropTemplate has no more instances forked from a template; false if none were
// any more.
func (e *Engine) dropTemplate(t *template) (dropped bool) {
	e.templates.remove(t)
	e.known.with(t.spec.Key, func(a *acquaintance) {
		if a.template == t {
			a.template, dropped = nil, true
		}
	})
	return dropped
}

// Forget drops what is known and kept of a deployment that is gone.
func (e *Engine) Forget(d lateen.DeploymentID) {
	e.archives.Forget(d)
	for _, t := range e.templates.of(d) {
		e.dropTemplate(t)
	}
	e.known.forget(d)
}

// of are the templates of a deployment.
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
	e.known.with(spec.Key, func(a *acquaintance) { t = a.template })
	if t == nil {
		return nil
	}
	if t.gone() || !sameFunction(t.spec, spec) {
		e.dropTemplate(t)
		return nil
	}
	return t
}

// fork has a template fork a child, which stands still until it is told to
// settle.
func (e *Engine) fork(ctx context.Context, t *template) (*worker, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	ends, err := e.open(name)
	if err != nil {
		return nil, err
	}
	e.templates.born(t)
	w, err := e.adopt(ctx, t, name, ends)
	if err != nil {
		e.templates.died(t)
		ends.handOver()
		ends.close()
		e.clean(name, "")
		return nil, fmt.Errorf("fork %s: %w", t.spec.Name, err)
	}
	if !e.attend(func() {
		w.listen()
		e.clean(name, "")
		e.templates.miss(t, w)
		e.templates.died(t)
	}) {
		w.Kill()
		w.listen()
		e.clean(name, "")
		e.templates.died(t)
		return nil, sandbox.ErrEnded
	}
	return w, nil
}

func (e *Engine) adopt(ctx context.Context, t *template, name string, ends *ends) (*worker, error) {
	conn, ok := ends.control.(*net.UnixConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	if err := passCredentials(conn); err != nil {
		return nil, err
	}
	if err := t.order(ends, e.patient(forkTimeout)); err != nil {
		return nil, err
	}
	ends.handOver()
	deadline := time.Now().Add(e.patient(forkTimeout))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	pid, first, err := firstWords(conn, deadline)
	if err != nil {
		return nil, err
	}
	process, err := t.process.Adopt(pid)
	if err != nil {
		return nil, err
	}
	w := &worker{
		name: name, process: process, ends: ends, inside: t.inside, output: &output{sink: e.o.Logs}, outside: t.outside, tag: t.tag,
		messages: guest.NewReader(io.MultiReader(bytes.NewReader(first), conn)),
		parked:   make(chan struct{}), exited: make(chan struct{}),
	}
	w.receiver = func(m guest.Message) {
		if m.Type == guest.TypeParked && !isClosed(w.parked) {
			close(w.parked)
		}
	}
	w.upstream = &upstream.Client{Dial: func(ctx context.Context) (net.Conn, error) { return e.dial(ctx, name) }}
	return w, nil
}

// order has the template fork a child with these ends.
func (t *template) order(ends *ends, within time.Duration) error {
	t.speak.Lock()
	defer t.speak.Unlock()
	conn, ok := t.ends.control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil { // it may not read
		return fmt.Errorf("ask the template: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, rightsOf(ends.theirs[:]), nil); err != nil {
		return fmt.Errorf("ask the template: %w", err)
	}
	return nil
}

// firstWords returns what a child says first, and its process id by the
// kernel's word, not its own.
func firstWords(conn *net.UnixConn, deadline time.Time) (pid int, said []byte, err error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, nil, err
	}
	buf, oob := make([]byte, 16<<10), make([]byte, 128)
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("hear of the child: %w", err)
	}
	if pid, err = sender(oob[:oobn]); err != nil {
		return 0, nil, err
	}
	return pid, buf[:n], conn.SetReadDeadline(time.Time{})
}

// blame gives up a template for good, since a child of it died without having
// been asked to.
func (e *Engine) blame(t *template) {
	e.dropTemplate(t)
	e.known.with(t.spec.Key, func(a *acquaintance) { a.forkable, a.why = never, "its children die" })
	e.o.Log.Warn("a function has no templates any more: a child died", "function", t.spec.Name, "deployment_id", t.spec.Deployment)
}
