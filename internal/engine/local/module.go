package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	modulesName = "WebAssembly" // name of the runner

	compileAtOnce = 4       // maximum number of concurrent compilations
	compileMemory = 1 << 30 // maximum memory of one compilation, in bytes
)

// compileWithin returns the number of concurrent compilations on a host with this
// much memory, and the memory limit of each. All compilations together get at most
// half of the memory.
func compileWithin(total int64) (places int, memory int64) {
	memory = min(compileMemory, max(total/4, 1))
	return int(min(compileAtOnce, max(total/2/memory, 1))), memory
}

// webAssembly runs functions that are WebAssembly modules. The process boots their
// guest, which is this binary.
func (e *Engine) webAssembly() *process.Runner {
	return &process.Runner{
		Name: modulesName, Compiles: true, Offline: true,
		Find: func(context.Context) (process.Command, error) { return e.self(wasi.Argument) },
	}
}

// modules are the WebAssembly modules in compilation. A separate process compiles
// each module once and ends; the result goes to the code cache of its function only.
type modules struct {
	slots turns // slots for compilations

	mu      sync.Mutex // guards the fields below
	running map[lateen.FunctionKey]*compilation
	ended   bool // no compilation may begin any more
}

// compilation is a module that is being compiled or that waits for a slot. A
// compilation without a slot ends with its last waiting caller; one with a slot runs
// to its end.
type compilation struct {
	done   chan struct{} // closed when the compilation has ended; err is set before
	err    error
	cancel context.CancelCauseFunc

	// Guarded by modules.
	waiters int  // callers that wait for the end
	hasSlot bool // the compilation has a slot

	mu      sync.Mutex // guards the fields below
	awaited bool       // a start waits for the compilation
	process *sandbox.Process
}

// errAbandoned cancels a compilation without a slot that nothing waits for.
var errAbandoned = errors.New("no start waits for the compilation")

// compiled returns when the function's module is compiled. If ctx ends first, a
// compilation with a slot continues for the next start. waited means that a start
// waits, rather than a preparation.
func (e *Engine) compiled(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, waited bool) error {
	if e.archives.Find(spec.Key, e.tags.Of(r)) != nil {
		return nil
	}
	c, err := e.modules.join(ctx, spec.Key, func(ctx context.Context, c *compilation) bool {
		return e.host.Go(func() { e.modules.end(spec.Key, c, e.compileModule(ctx, c, r, spec)) })
	})
	if err != nil {
		return err
	}
	defer e.modules.leave(spec.Key, c)
	if waited {
		c.prioritize()
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns the running compilation of a function's module, or begins one.
func (ms *modules) join(ctx context.Context, key lateen.FunctionKey, begin func(context.Context, *compilation) bool) (*compilation, error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c := ms.running[key]; c != nil {
		c.waiters++
		return c, nil
	}
	c := &compilation{done: make(chan struct{}), waiters: 1}
	ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if ms.ended || !begin(ctx, c) {
		c.cancel(sandbox.ErrEnded)
		return nil, sandbox.ErrEnded
	}
	if ms.running == nil {
		ms.running = map[lateen.FunctionKey]*compilation{}
	}
	ms.running[key] = c
	return c, nil
}

// leave cancels a compilation that has no slot when its last waiting caller leaves.
func (ms *modules) leave(key lateen.FunctionKey, c *compilation) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c.waiters--; c.waiters == 0 && !c.hasSlot && ms.running[key] == c {
		delete(ms.running, key)
		c.cancel(errAbandoned)
	}
}

// takeSlot records that a compilation has a slot. It fails if leave has just canceled
// the compilation.
func (ms *modules) takeSlot(ctx context.Context, c *compilation) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c.hasSlot = true
	return context.Cause(ctx)
}

// end publishes the result of a compilation to the waiting callers.
func (ms *modules) end(key lateen.FunctionKey, c *compilation, err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.running[key] == c {
		delete(ms.running, key)
	}
	c.err = err
	close(c.done)
	c.cancel(nil)
}

// endAll cancels all compilations and prevents new ones.
func (ms *modules) endAll() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.ended = true
	for _, c := range ms.running {
		c.cancel(sandbox.ErrEnded)
	}
}

// prioritize gives the compilation the CPU priority of a start.
func (c *compilation) prioritize() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = true
	if c.process != nil {
		_ = c.process.Foreground() // on an error the compilation is only slower, or has ended
	}
}

// setProcess records the process of a compilation. It has background priority until a
// start waits for it.
func (c *compilation) setProcess(p *sandbox.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process = p; !c.awaited {
		_ = p.Background() // on an error the compilation only has a higher priority
	}
}

// compileModule compiles a function's module in a blank process and stores the
// result for the function.
func (e *Engine) compileModule(ctx context.Context, c *compilation, r *process.Runner, spec lateen.FunctionSpec) error {
	if err := e.modules.slots.take(ctx, spec.Project); err != nil {
		return err
	}
	defer e.modules.slots.give(spec.Project)
	if err := e.modules.takeSlot(ctx, c); err != nil {
		return err
	}
	ctx, cancel := e.host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	tree, err := e.o.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	for tries := 1; ; tries++ {
		if err = e.compileIn(ctx, c, r, spec, tree); !errors.Is(err, instance.ErrGone) || tries == maxClaims {
			return err
		}
	}
}

func (e *Engine) compileIn(ctx context.Context, c *compilation, r *process.Runner, spec lateen.FunctionSpec, tree string) error {
	w, _, err := e.claim(ctx, r, &spec)
	if err != nil {
		return err
	}
	if e.archives.Find(spec.Key, w.Tag) != nil { // the tag was unknown before the first boot
		w.Kill()
		return nil
	}
	c.setProcess(w.Sandboxed)
	w.Output.Mute()
	total, _ := cgroup.HostMemory()
	_, memory := compileWithin(total)
	i := e.instances.Add(ctx, w, instance.Options{Spec: spec, Training: true, Memory: memory, LoadTimeout: e.host.Scaled(process.PrepareTimeout)})
	if err := i.Load(ctx, tree, instance.Activation{Record: true}); err != nil {
		return err
	}
	defer i.KillAndWait()
	resp, err := i.Ask(ctx, guest.QuestionArchive)
	if why := process.RefusalError(""); errors.As(err, &why) {
		return lateen.ErrFunctionFailed.With("the function's code could not be loaded: %s", string(why))
	}
	if err != nil {
		return fmt.Errorf("store the compiled module of %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	return e.archives.Put(spec.Key, i.Tag, resp.Body, codecache.MaxModule)
}
