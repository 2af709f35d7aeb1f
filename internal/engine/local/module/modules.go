// Package module compiles WebAssembly modules, and keeps processes that have loaded the
// compiled code.
package module

import (
	"context"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// Options are the settings of [Modules].
type Options struct {
	Archives  *codecache.Store
	Tags      *process.Tags
	Templates *template.Templates // hold the standbys of modules
	// Cached returns the activation that loads a function from its code cache, if it
	// has one that a process with this tag can read.
	Cached func(spec lateen.FunctionSpec, tag string) instance.Activation
}

// Modules are the WebAssembly modules in compilation. A separate process compiles
// each module once and ends; the result goes to the code cache of its function only.
type Modules struct {
	archives  *codecache.Store
	tags      *process.Tags
	templates *template.Templates
	cached    func(spec lateen.FunctionSpec, tag string) instance.Activation

	group *instance.Group
	slots turns // slots for compilations

	mu      sync.Mutex // guards the fields below
	running map[lateen.FunctionKey]*compilation
	ended   bool // no compilation may begin any more
}

// New returns the modules of an engine, none of which is in compilation.
func New(g *instance.Group, o Options) *Modules {
	total, _ := cgroup.HostMemory()
	slots, _ := compileWithin(total)
	return &Modules{archives: o.Archives, tags: o.Tags, templates: o.Templates, cached: o.Cached, group: g, slots: turns{all: slots}}
}

// Compile returns when the function's module is compiled. If ctx ends first, a
// compilation with a slot continues for the next start. waited means that a start
// waits, rather than a preparation.
func (ms *Modules) Compile(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, waited bool) error {
	if ms.archives.Find(spec.Key, ms.tags.Of(r)) != nil {
		return nil
	}
	c, err := ms.join(ctx, spec.Key, func(ctx context.Context, c *compilation) bool {
		return ms.group.Host.Go(func() { ms.end(spec.Key, c, ms.compile(ctx, c, r, spec)) })
	})
	if err != nil {
		return err
	}
	defer ms.leave(spec.Key, c)
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
func (ms *Modules) join(ctx context.Context, key lateen.FunctionKey, begin func(context.Context, *compilation) bool) (*compilation, error) {
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
func (ms *Modules) leave(key lateen.FunctionKey, c *compilation) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c.waiters--; c.waiters == 0 && !c.hasSlot && ms.running[key] == c {
		delete(ms.running, key)
		c.cancel(errAbandoned)
	}
}

// takeSlot records that a compilation has a slot. It fails if leave has just canceled
// the compilation.
func (ms *Modules) takeSlot(ctx context.Context, c *compilation) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c.hasSlot = true
	return context.Cause(ctx)
}

// end publishes the result of a compilation to the waiting callers.
func (ms *Modules) end(key lateen.FunctionKey, c *compilation, err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.running[key] == c {
		delete(ms.running, key)
	}
	c.err = err
	close(c.done)
	c.cancel(nil)
}

// End cancels all compilations and prevents new ones.
func (ms *Modules) End() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.ended = true
	for _, c := range ms.running {
		c.cancel(sandbox.ErrEnded)
	}
}
