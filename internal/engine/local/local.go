// Package local runs instances of functions as sandboxed processes on this
// machine. A start takes a blank runtime process, booted beforehand, and makes
// it the function; requests reach it over a unix socket.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/rounds"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

// Options are the settings of an [Engine].
type Options struct {
	// Dir keeps sockets and the like while the engine runs, and nothing that
	// outlives it. Required; emptied and made by New.
	Dir string
	// Trees returns the directory of a function's files, which is readable by
	// everybody and lies in TreesDir. Both are required.
	Trees    func(ctx context.Context, tree lateen.Digest) (string, error)
	TreesDir string
	// Toolchain has the runtimes. Required.
	Toolchain *toolchain.Toolchain
	// Path is where runtimes of this host are looked for, besides the usual
	// directories.
	Path []string
	// Logs takes what functions write. Required.
	Logs engine.LogSink
	// Purge is told what functions invalidate after they answered: tags of
	// their deployment, which may be served stale for the grace, negative for
	// ever. It may block. nil: nobody is.
	Purge func(d lateen.DeploymentID, tags []string, grace time.Duration)
	// Network is functions' way to the outside. nil: those with a network of
	// their own, which the host decides, have none.
	Network *egress.Network
	// Platform is what functions of Node.js know of the platform; nil is nothing.
	Platform *guest.Platform
	// Log is for the engine's own troubles; nil discards them.
	Log *slog.Logger
	// Pool is how many blank processes wait for each runtime in use, at least:
	// bursts make it more for a while. 0 is 2, less is none ever.
	Pool int
	// PoolMemory bounds what blank processes beyond that hold, in bytes; 0 is an
	// eighth of the host's memory.
	PoolMemory int64
	// PoolPast is the file that keeps what was learned of the demand for blank
	// processes. It outlives the engine; "" keeps nothing.
	PoolPast string
	// Unsandboxed runs functions without walls; see [sandbox.Options].
	Unsandboxed bool
	// Memory is what an instance may use, in MiB, where its function does not
	// say; 0 is 1024.
	Memory int
	// Archives is where what functions compiled to is kept. It outlives the
	// engine; "" is a directory of Dir, which does not.
	Archives string
	// MaxArchives bounds them, in bytes; 0 is 1 GiB.
	MaxArchives int64
	// Templates is how much memory processes may use that have loaded a function
	// and wait to be forked or started, in MiB; 0 is 1024, less is none: no templates.
	Templates int
	// NoZygotes has blank processes booted only, never forked.
	NoZygotes bool
	// LoadTimeout bounds the loading of user code; 0 is 30 s.
	LoadTimeout time.Duration
	// Patience multiplies every limit of the time that a start may take, for a
	// slow machine; 0 is 1.
	Patience int
}

// Engine is an [engine.Engine] of processes. It starts them while Run runs.
type Engine struct {
	o       Options
	sandbox *sandbox.Sandbox
	agent   string // the agent's main module, on this host
	sockets *os.File
	runners []*runner // all there are, the first wanted first
	blanks  *pool.Pools[*worker]
	rush    pool.Rush
	work    sync.WaitGroup

	// pythons are those of this host, the newest first; pythonAgent is the
	// main module of theirs.
	pythons     []python
	pythonAgent string
	bunAgent    string // what Bun runs

	archives    *archive.Store
	archiveFrom int64 // bytes from which on one is used
	templates   templates
	zygotes     zygotes
	known       known
	modules     modules
	visitTime   time.Duration // that a function has to answer while it is prepared
	preparing   *rounds.Line[lateen.ProjectID, preparation]

	mu        sync.Mutex // guards below
	instances map[*instance]struct{}
	ended     bool // attends to no more
}

// New returns an engine after finding out what this host permits.
func New(o Options) (*Engine, error) {
	if o.Dir == "" || o.Trees == nil || o.TreesDir == "" || o.Toolchain == nil || o.Logs == nil {
		return nil, errors.New("engine: a required option is missing")
	}
	o.Pool = cmp.Or(o.Pool, 2)
	o.Memory = cmp.Or(o.Memory, 1024)
	o.LoadTimeout, o.Patience = cmp.Or(o.LoadTimeout, 30*time.Second), cmp.Or(o.Patience, 1)
	o.Templates = cmp.Or(o.Templates, defaultTemplates)
	o.Archives = cmp.Or(o.Archives, filepath.Join(o.Dir, "archives"))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	walls, err := sandbox.Open(sandbox.Options{Unwalled: o.Unsandboxed})
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, sandbox: walls, instances: map[*instance]struct{}{}}
	e.pythons = findPythons(pythonDirs(o.Path))
	e.preparing = rounds.New[lateen.ProjectID, preparation](maxPreparing)
	e.archiveFrom, e.visitTime = defaultWorthwhile, visitTimeout
	e.templates.wake = make(chan struct{}, 1)
	total, _ := cgroup.HostMemory()
	e.modules.places.all, _ = compileWithin(total)
	if guest.Forks() {
		e.templates.limit = int64(max(o.Templates, 0)) << 20
	}
	e.openZygotes()
	e.openPools()
	if o.PoolPast != "" {
		if err := e.blanks.Recall(o.PoolPast, time.Now()); err != nil {
			o.Log.Warn("a burst like the last will wait for boots", "err", err)
		}
	}
	if err := e.prepare(); err != nil {
		return nil, fmt.Errorf("prepare the engine's directory: %w", err)
	}
	return e, nil
}

// patient is how long something may take on this machine.
func (e *Engine) patient(usual time.Duration) time.Duration {
	return usual * time.Duration(e.o.Patience)
}

// within is ctx until that time is over.
func (e *Engine) within(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.patient(usual), fmt.Errorf("it took longer than %v", e.patient(usual)))
}

// prepare empties the directory and puts into it what guests need.
func (e *Engine) prepare() error {
	if err := os.RemoveAll(e.o.Dir); err != nil {
		return err
	}
	// Guests pass through, where they have no mounts; no other user of the host
	// has any business with what functions are made of.
	trees := os.FileMode(0o755)
	if e.sandbox.PrivateTmp() {
		trees = 0o700
	}
	if err := errors.Join(
		os.MkdirAll(e.o.TreesDir, trees), os.Chmod(e.o.TreesDir, trees), os.MkdirAll(e.o.Dir, 0o711), os.Chmod(e.o.Dir, 0o711),
		os.MkdirAll(e.o.Archives, trees), os.Chmod(e.o.Archives, trees),
	); err != nil {
		return err
	}
	sockets := filepath.Join(e.o.Dir, "sockets")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return err
	}
	if err := errors.Join(e.reachable(e.o.Dir), e.reachable(e.o.TreesDir)); err != nil {
		return err
	}
	var err error
	if e.agent, err = guest.InstallNode(e.o.Dir, e.o.Platform); err != nil {
		return err
	}
	if e.pythonAgent, err = guest.InstallPython(e.o.Dir); err != nil {
		return err
	}
	if e.bunAgent, err = guest.InstallBun(e.o.Dir); err != nil {
		return err
	}
	if e.archives, err = archive.Open(e.o.Archives, e.o.MaxArchives, filepath.Base(filepath.Dir(e.agent))); err != nil {
		return err
	}
	e.sockets, err = os.Open(sockets)
	return err
}

// Missing says which walls around functions do not stand on this host, or "".
func (e *Engine) Missing() string { return e.sandbox.Missing() }

// Walls tells which walls around functions there are, and which of them stand.
func (e *Engine) Walls() []sandbox.Wall { return e.sandbox.Walls() }

// Run keeps blank processes at hand and watches over instances until ctx ends.
// Then it ends every process that is left and returns.
func (e *Engine) Run(ctx context.Context) error {
	starts, end := context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan struct{})
	go func() {
		defer close(started)
		_ = e.sandbox.Run(starts) // always nil
	}()
	var background sync.WaitGroup
	background.Go(func() { e.blanks.Run(ctx) })
	if e.o.PoolPast != "" {
		background.Go(func() { e.blanks.Remember(ctx, e.o.PoolPast) })
	}
	background.Go(func() { e.watch(ctx) })
	background.Go(func() { e.tendZygotes(ctx) })
	background.Go(func() { e.stock(ctx) })
	background.Go(func() { e.fetch(ctx) })
	background.Go(func() { e.prepareAll(ctx) })
	background.Go(func() { e.keepSpares(ctx) })
	e.runner(nodeName(newestNode)).blanks.Need()
	if missing := e.Missing(); missing != "" {
		e.o.Log.WarnContext(ctx, "layers of the sandbox are missing", "missing", missing)
	}
	<-ctx.Done()
	background.Wait()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.modules.endAll()
	end()
	<-started // which has killed what was left
	e.work.Wait()
	_ = e.sandbox.Close() // what it cannot give back now, the next one sweeps away
	return e.sockets.Close()
}

// attend runs f on a goroutine that Run waits for; false if it waits no more.
func (e *Engine) attend(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.work.Go(f)
	}
	return !e.ended
}

func (e *Engine) ending() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// Start starts an instance; see [engine.Engine].
func (e *Engine) Start(ctx context.Context, spec lateen.FunctionSpec) (engine.Instance, error) {
	r, notice, err := e.runtimeFor(&spec.Function)
	if err != nil {
		return nil, err
	}
	tree, err := e.o.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	if r.compiles {
		if err := e.compiled(ctx, r, spec, true); err != nil {
			return nil, err
		}
	}
	defer e.rush.Enter()()
	return e.start(ctx, r, spec, tree, notice)
}

// enlist and discharge keep the list of instances to watch over.
func (e *Engine) enlist(i *instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[i] = struct{}{}
}

func (e *Engine) discharge(i *instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.instances, i)
}
