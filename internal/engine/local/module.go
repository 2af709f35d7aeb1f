package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	modulesName = "WebAssembly" // of the runner

	compileAtOnce = 4       // modules, at most
	compileMemory = 1 << 30 // bytes that compiling a module may take, at most
)

// compileWithin is how many modules are compiled at once on a host with so much memory,
// and how much of it each may take: all together no more than half.
func compileWithin(total int64) (places int, memory int64) {
	memory = min(compileMemory, max(total/4, 1))
	return int(min(compileAtOnce, max(total/2/memory, 1))), memory
}

// webAssembly runs functions that are WebAssembly modules: what boots is their
// guest, which is this same program.
func (e *Engine) webAssembly() *runner {
	return &runner{
		name: modulesName, compiles: true, offline: true,
		find: func(context.Context) (command, error) { return e.self(wasi.Argument) },
	}
}

// modules are the WebAssembly modules that are being compiled. Each is compiled
// once, in a process that runs nothing else and ends after it, and what it
// compiled to is kept in the archive of its function alone.
type modules struct {
	places turns // that there are for compilations

	mu    sync.Mutex // guards below
	under map[lateen.FunctionKey]*compilation
	ended bool // no more are compiled
}

// compilation is a module that is being compiled, whether or not a start waits
// for it, or that waits for a place, as long as a start waits for it.
type compilation struct {
	done   chan struct{} // closed once it has ended; err is set before
	err    error
	cancel context.CancelCauseFunc

	// Guarded by modules.
	waiters int  // that wait for its end
	placed  bool // it has a place

	mu      sync.Mutex // guards below
	waited  bool       // a start waits for it
	process *sandbox.Process
}

// errAbandoned ends a compilation without a place once nothing waits for it.
var errAbandoned = errors.New("no start waits for it")

// compiled returns once the function's module is compiled. Where that takes
// longer than ctx it goes on, for the next start, if it has begun. waited says that
// a start waits.
func (e *Engine) compiled(ctx context.Context, r *runner, spec lateen.FunctionSpec, waited bool) error {
	if tag := e.zygotes.tag(r, ""); e.archives.Find(spec.Key, tag) != nil {
		return nil
	}
	c, err := e.modules.join(ctx, spec.Key, func(ctx context.Context, c *compilation) bool {
		return e.attend(func() { e.modules.end(spec.Key, c, e.compileModule(ctx, c, r, spec)) })
	})
	if err != nil {
		return err
	}
	defer e.modules.leave(spec.Key, c)
	if waited {
		c.hurry()
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns the compilation of a function's module that is under way, or has
// one begun.
func (ms *modules) join(ctx context.Context, key lateen.FunctionKey, begin func(context.Context, *compilation) bool) (*compilation, error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c := ms.under[key]; c != nil {
		c.waiters++
		return c, nil
	}
	c := &compilation{done: make(chan struct{}), waiters: 1}
	ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if ms.ended || !begin(ctx, c) {
		c.cancel(sandbox.ErrEnded)
		return nil, sandbox.ErrEnded
	}
	if ms.under == nil {
		ms.under = map[lateen.FunctionKey]*compilation{}
	}
	ms.under[key] = c
	return c, nil
}

// leave drops a compilation that has no place yet and for which nothing waits
// any more.
func (ms *modules) leave(key lateen.FunctionKey, c *compilation) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c.waiters--; c.waiters == 0 && !c.placed && ms.under[key] == c {
		delete(ms.under, key)
		c.cancel(errAbandoned)
	}
}

// place says that a compilation has a place. It fails where the compilation was
// dropped at that moment.
func (ms *modules) place(ctx context.Context, c *compilation) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c.placed = true
	return context.Cause(ctx)
}

// end tells those who wait how a compilation has ended.
func (ms *modules) end(key lateen.FunctionKey, c *compilation, err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.under[key] == c {
		delete(ms.under, key)
	}
	c.err = err
	close(c.done)
	c.cancel(nil)
}

// endAll breaks off what is being compiled, and has no more compiled.
func (ms *modules) endAll() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.ended = true
	for _, c := range ms.under {
		c.cancel(sandbox.ErrEnded)
	}
}

// hurry has the compilation take its part of the processors like a start.
func (c *compilation) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited = true
	if c.process != nil {
		_ = c.process.Foreground() // it is slower, or has ended
	}
}

// is says which process compiles. It leaves others the processors while no start
// waits for it.
func (c *compilation) is(p *sandbox.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process = p; !c.waited {
		_ = p.Background() // as above
	}
}

// compileModule compiles a function's module in a blank process, and keeps the
// result for the function.
func (e *Engine) compileModule(ctx context.Context, c *compilation, r *runner, spec lateen.FunctionSpec) error {
	if err := e.modules.places.take(ctx, spec.Project); err != nil {
		return err
	}
	defer e.modules.places.give(spec.Project)
	if err := e.modules.place(ctx, c); err != nil {
		return err
	}
	ctx, cancel := e.within(ctx, prepareTimeout)
	defer cancel()
	tree, err := e.o.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	for tries := 1; ; tries++ {
		if err = e.compileIn(ctx, c, r, spec, tree); !errors.Is(err, errGone) || tries == maxClaims {
			return err
		}
	}
}

func (e *Engine) compileIn(ctx context.Context, c *compilation, r *runner, spec lateen.FunctionSpec, tree string) error {
	w, _, err := e.claim(ctx, r, &spec)
	if err != nil {
		return err
	}
	if e.archives.Find(spec.Key, w.tag) != nil { // which was not known before a process had booted
		w.Kill()
		return nil
	}
	c.is(w.process)
	w.output.mute()
	i := newInstance(ctx, e, spec, w)
	i.rehearsal, i.loadWithin = true, e.patient(prepareTimeout)
	total, _ := cgroup.HostMemory()
	i.mu.Lock()
	_, i.memory = compileWithin(total)
	i.mu.Unlock()
	if err := i.load(ctx, tree, lesson{record: true}); err != nil {
		return err
	}
	defer i.dismiss()
	resp, err := i.question(ctx, guest.QuestionArchive)
	if why := refusal(""); errors.As(err, &why) {
		return lateen.ErrFunctionFailed.With("the function's code could not be loaded: %s", string(why))
	}
	if err != nil {
		return fmt.Errorf("keep the compiled module of %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	return e.archives.Put(spec.Key, i.tag, resp.Body, archive.MaxModule)
}
