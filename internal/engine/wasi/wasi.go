// Package wasi runs functions that are WebAssembly modules in this process:
// commands of WASI preview 1 that read a request as CGI programs do, from the
// environment and standard input, and write the response to standard output.
//
// A module has its function's files, read-only, its clock and its memory. It
// has no network and no other file, and every request gets a module of its own
// whose memory nobody had before.
package wasi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/engine"
)

// Runtime is the name of the runtime of functions that this engine runs.
const Runtime = "wasi"

const (
	maxModule = 128 << 20 // bytes
	maxUnused = 32        // compiled modules that wait for a user

	leastTurns = 8 // modules that may compute at once, at least
)

// Options are the settings of an [Engine].
type Options struct {
	// Dir keeps compiled modules from one run to the next. Required.
	Dir string
	// Trees returns the directory of a function's files. Required.
	Trees func(ctx context.Context, tree lateen.Digest) (string, error)
	// Logs takes what functions write. Required.
	Logs engine.LogSink
	// Log is for the engine's own troubles; nil discards them.
	Log *slog.Logger
	// Memory is what a request may use, in MiB, where its function does not
	// say; 0 is 128.
	Memory int
	// AllMemory bounds what all requests use together, in MiB; 0 is a quarter
	// of the host's memory. A project may use half of it.
	AllMemory int
	// Disk bounds the compiled modules that are kept, in MiB; 0 is 1024.
	Disk int
}

// Engine is an [engine.Engine] of WebAssembly modules.
type Engine struct {
	o         Options
	cache     wazero.CompilationCache
	runtime   wazero.Runtime
	drop      func(wazero.CompiledModule)
	turns     turns
	room      room
	workers   int           // that compile a module
	compiling chan struct{} // holds a token while a module is compiled: one at a time, by all processors

	running context.Context //nolint:containedctx // of what is compiled: until Run ends, whoever asked for it
	stop    context.CancelCauseFunc
	work    sync.WaitGroup // requests, and what is compiled

	mu      sync.Mutex // guards below
	modules map[moduleKey]*module
	unused  []moduleKey // of them, those without users, the latest last
	ended   bool        // attends to no more
	wide    bool        // there are processors for modules
}

type moduleKey struct {
	tree    lateen.Digest
	handler string
}

// module is a compiled module, for the instances that use it.
type module struct {
	users    int
	ready    chan struct{} // closed once the rest is set
	compiled wazero.CompiledModule
	warm     bool // it had been compiled before
	err      error
}

// New returns an engine.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Dir == "" || o.Trees == nil || o.Logs == nil {
		return nil, errors.New("wasi: a required option is missing")
	}
	o.Memory, o.Disk = cmp.Or(o.Memory, 128), cmp.Or(o.Disk, 1024)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of compiled modules: %w", err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory of compiled modules: %w", err)
	}
	memory, _ := cgroup.HostMemory()
	processors := min(runtime.GOMAXPROCS(0), runtime.NumCPU()) // another engine may have raised the former
	e := &Engine{
		o: o, cache: cache, turns: turns{all: max(leastTurns, 2*processors)}, room: room{all: cmp.Or(int64(o.AllMemory)<<20, memory/4)},
		workers:   max(processors, 2), // a single one would not heed the context
		compiling: make(chan struct{}, 1), modules: map[moduleKey]*module{},
	}
	e.running, e.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	e.drop = func(m wazero.CompiledModule) { _ = m.Close(ctx) } // frees memory, and cannot fail
	// Without the checks that this puts into loops nothing ends a busy one, and
	// no garbage could be collected beside it.
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache).WithCloseOnContextDone(true))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.runtime); err != nil {
		return nil, errors.Join(err, cache.Close(ctx))
	}
	return e, nil
}

// Run waits until ctx ends. Then it takes no more requests, waits for those
// under way, breaks off what is being compiled and releases what compiled
// modules hold.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.stop(errStopped)
	e.work.Wait()
	if e.wide {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)-e.turns.all))
	}
	ctx = context.WithoutCancel(ctx)
	return errors.Join(e.runtime.Close(ctx), e.cache.Close(ctx))
}

// attend runs f on a goroutine that Run waits for, unless it has ended.
func (e *Engine) attend(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return errStopped
	}
	e.work.Go(f)
	return nil
}

// Start returns an instance once the function's module is compiled; see [engine.Engine].
func (e *Engine) Start(ctx context.Context, spec lateen.FunctionSpec) (engine.Instance, error) {
	f := spec.Function
	if f.Runtime != Runtime {
		return nil, lateen.ErrFunctionRuntime.With("this engine does not run the runtime %q", f.Runtime)
	}
	tree, err := e.o.Trees(ctx, f.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	began := time.Now()
	m, err := e.module(ctx, moduleKey{f.Tree, f.Handler}, tree)
	if err != nil {
		return nil, err
	}
	i := &instance{
		engine: e, module: m, spec: spec, tree: tree, limit: uint64(cmp.Or(f.Memory, e.o.Memory)) << 20, //nolint:gosec // at most 10 GiB
		id: lateen.NewID[lateen.InstanceID]("ins_", began), done: make(chan struct{}), idle: make(chan struct{}),
	}
	i.running, i.cut = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := i.fits(); err != nil {
		e.release(moduleKey{f.Tree, f.Handler})
		return nil, err
	}
	i.phases = engine.Phases{Kind: e.kind(m), Load: time.Since(began)}
	return i, nil
}

// kind says whether a module was compiled for this start.
func (e *Engine) kind(m *module) lateen.StartKind {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.warm {
		return lateen.StartBlank
	}
	m.warm = true
	return lateen.StartCold
}

// Prepare compiles the function's module, which is kept on disk.
func (e *Engine) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	i, err := e.Start(ctx, spec)
	if err != nil {
		return err
	}
	i.Stop(ctx)
	return nil
}

// Prepared returns nil: a module is compiled before it is started, always.
func (e *Engine) Prepared(lateen.FunctionKey, string) *lateen.Preparation { return nil }

// widenLocked gives the Go runtime a processor more for each module that may
// compute at once, so that no goroutine of the platform waits for one that a
// module has: the kernel divides the time. It is done for the first module, for
// it is not free to those who have none.
func (e *Engine) widenLocked() {
	if !e.wide {
		e.wide = true
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + e.turns.all)
	}
}

// module returns a compiled module, which the caller releases. One that is not
// compiled when ctx ends is compiled all the same: who asks again waits less.
func (e *Engine) module(ctx context.Context, key moduleKey, tree string) (*module, error) {
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		return nil, errStopped
	}
	e.widenLocked()
	m, ok := e.modules[key]
	if !ok {
		m = &module{ready: make(chan struct{})}
		e.modules[key] = m
		e.work.Go(func() { e.compile(m, tree, key.handler) })
	}
	m.users++
	e.unused = slices.DeleteFunc(e.unused, func(k moduleKey) bool { return k == key })
	e.mu.Unlock()
	select {
	case <-m.ready:
	case <-ctx.Done():
		e.release(key)
		return nil, context.Cause(ctx)
	}
	if m.err != nil {
		e.release(key)
		return nil, m.err
	}
	return m, nil
}

// release gives a module back. Without users it stays, if it is of use, until
// there are too many of its kind.
func (e *Engine) release(key moduleKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.modules[key]
	if m.users--; m.users > 0 {
		return
	}
	e.unused = append(e.unused, key)
	if len(e.unused) > maxUnused {
		e.forgetLocked(e.unused[0])
	} else if isClosed(m.ready) && m.err != nil {
		e.forgetLocked(key) // it may go better another time
	}
}

// forgetLocked forgets a module without users.
func (e *Engine) forgetLocked(key moduleKey) {
	m := e.modules[key]
	delete(e.modules, key)
	e.unused = slices.DeleteFunc(e.unused, func(k moduleKey) bool { return k == key })
	if e.ended {
		return // Run closes them all
	}
	e.work.Go(func() {
		<-m.ready
		if m.compiled != nil {
			e.drop(m.compiled)
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// compile fills a module in. A module that is in several trees is compiled for
// the first of them: those that come after it find it by its content.
func (e *Engine) compile(m *module, tree, handler string) {
	defer close(m.ready)
	code, err := readModule(tree, handler)
	if err != nil {
		m.err = err
		return
	}
	select {
	case e.compiling <- struct{}{}:
		defer func() { <-e.compiling }()
	case <-e.running.Done():
		m.err = errStopped
		return
	}
	before := len(e.onDisk())
	m.compiled, err = e.runtime.CompileModule(experimental.WithCompilationWorkers(e.running, e.workers), code)
	switch {
	case err != nil && e.running.Err() != nil:
		m.err = errStopped
		return
	case err != nil:
		m.err = lateen.ErrFunctionFailed.With("the function's module could not be compiled: %s", err.Error())
		return
	}
	if m.warm = len(e.onDisk()) == before; m.warm {
		return
	}
	if err := e.prune(); err != nil {
		e.o.Log.Warn("compiled modules take more space than they may", "err", err)
	}
}

// readModule reads a module from the files of a function, and from nowhere else.
func readModule(tree, handler string) ([]byte, error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, fmt.Errorf("open the function's files: %w", err)
	}
	defer root.Close() //nolint:errcheck // it holds no data
	file, err := root.Open(filepath.FromSlash(handler))
	if err != nil {
		return nil, lateen.ErrFunctionFailed.With("the module %s is not among the function's files", handler).Because(err)
	}
	defer file.Close()
	code, err := io.ReadAll(io.LimitReader(file, maxModule+1))
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", handler, err)
	}
	if len(code) > maxModule {
		return nil, lateen.ErrFunctionFailed.With("the module %s is larger than %d MiB", handler, maxModule>>20)
	}
	return code, nil
}
