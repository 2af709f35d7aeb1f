// Package local runs instances of functions as sandboxed processes on this machine.
// A start takes a blank process, which has booted before, and loads the function
// into it; requests reach the process over a unix socket.
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
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
	"github.com/lateen-dev/lateen/internal/engine/local/module"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
	"github.com/lateen-dev/lateen/internal/engine/local/zygote"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

const defaultTemplates = 1024 // MiB of all templates

// Options are the settings of an [Engine].
type Options struct {
	// Dir holds sockets and other files that last as long as the engine. Required;
	// New creates and empties it.
	Dir string
	// Trees returns the directory of a function's files, which all users of the host
	// can read and which is inside TreesDir. Both are required.
	Trees    func(ctx context.Context, tree lateen.Digest) (string, error)
	TreesDir string
	// Toolchain provides the runtimes. Required.
	Toolchain *toolchain.Toolchain
	// Path lists directories to search for runtimes, besides the usual ones.
	Path []string
	// Logs takes the log lines of functions. Required.
	Logs engine.LogSink
	// Usage takes the usage of the processes that are no instances: of a function for
	// its templates, standbys and training runs, of the platform for blank processes
	// and zygotes. nil discards it.
	Usage engine.UsageSink
	// Purge receives the cache tags that functions invalidate after their response.
	// The tags belong to the deployment; pages may be served stale for the grace
	// period, without limit if it is negative. Purge may block. nil ignores the
	// tags.
	Purge func(o datacache.Owner, tags []string, grace time.Duration)
	// Data is the data cache of functions; nil: each instance caches in its memory.
	Data datacache.Cache
	// Network connects functions to the outside. nil: functions in a network
	// namespace have no network; the host decides which ones have such a namespace.
	Network *egress.Network
	// Platform describes the platform to functions of Node.js; may be nil.
	Platform *guest.Platform
	// Log takes the problems of the engine itself; nil discards them.
	Log *slog.Logger
	// Pool is the minimum number of blank processes for each runtime in use; bursts
	// raise the number for a while. 0 is 2, less is no pool.
	Pool int
	// PoolMemory bounds the memory of the blank processes above that number, in
	// bytes; 0 is an eighth of the host's memory.
	PoolMemory int64
	// PoolPast is the file with the history of the demand for blank processes. The
	// file outlives the engine; "" stores no history.
	PoolPast string
	// Unsandboxed runs functions without a sandbox; see [sandbox.Options].
	Unsandboxed bool
	// Memory is the default memory limit of an instance, in MiB; 0 is 1024.
	Memory int
	// Archives is the directory of the code caches. It outlives the engine; "" is a
	// directory inside Dir, which does not.
	Archives string
	// MaxArchives bounds the code caches, in bytes; 0 is 1 GiB.
	MaxArchives int64
	// Templates is the memory of template processes and standby processes, in MiB; 0
	// is 1024, less disables templates.
	Templates int
	// NoZygotes makes the engine boot all blank processes, and fork none.
	NoZygotes bool
	// LoadTimeout bounds the loading of user code; 0 is 30 s.
	LoadTimeout time.Duration
	// TimeoutFactor multiplies every timeout of a start, for a slow machine; 0 is 1.
	TimeoutFactor int
}

// Engine is an [engine.Engine] of processes. It can start instances while Run runs.
type Engine struct {
	o         Options
	host      *process.Host
	instances *instance.Group
	agent     string            // path of the agent's main module on this host
	runners   []*process.Runner // all runners; the preferred runner is first
	blanks    *pool.Pools[*process.Process]
	burst     pool.Burst

	// pythons are the Pythons of this host, the newest first; pythonAgent is the
	// path of the main module of the Python agent.
	pythons     []python
	pythonAgent string
	bunAgent    string // path of the agent for Bun

	archives  *codecache.Store
	templates *template.Templates
	tags      process.Tags
	zygotes   *zygote.Zygotes
	modules   *module.Modules
	learner   *learn.Learner
}

// New detects the sandbox layers of this host and returns an engine.
func New(o Options) (*Engine, error) {
	if o.Dir == "" || o.Trees == nil || o.TreesDir == "" || o.Toolchain == nil || o.Logs == nil {
		return nil, errors.New("engine: a required option is missing")
	}
	o.Pool = cmp.Or(o.Pool, 2)
	o.Memory = cmp.Or(o.Memory, 1024)
	o.LoadTimeout, o.TimeoutFactor = cmp.Or(o.LoadTimeout, 30*time.Second), cmp.Or(o.TimeoutFactor, 1)
	o.Templates = cmp.Or(o.Templates, defaultTemplates)
	o.Archives = cmp.Or(o.Archives, filepath.Join(o.Dir, "archives"))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	sandboxes, err := sandbox.Open(sandbox.Options{Unsandboxed: o.Unsandboxed})
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, host: &process.Host{Options: process.Options{
		Sandbox: sandboxes, Dir: o.Dir, Logs: o.Logs, Usage: o.Usage, Network: o.Network, Memory: o.Memory, TimeoutFactor: o.TimeoutFactor, Log: o.Log,
	}}}
	e.instances = instance.NewGroup(instance.Shared{Host: e.host, Burst: &e.burst, Trees: o.Trees, Purge: o.Purge, Data: serverOf(o.Data), LoadTimeout: o.LoadTimeout})
	e.pythons = findPythons(pythonDirs(o.Path))
	e.runners = e.findRunners()
	e.zygotes = zygote.New(e.host, zygote.Options{Runners: e.runners, Tags: &e.tags, Burst: &e.burst, Libraries: guestAgent, Disabled: o.zygotesDisabled()})
	e.openPools()
	if o.PoolPast != "" {
		if err := e.blanks.Recall(o.PoolPast, time.Now()); err != nil {
			o.Log.Warn("pool demand history not loaded; starting at the default size", "err", err)
		}
	}
	if err := e.initDir(); err != nil {
		return nil, fmt.Errorf("prepare the engine's directory: %w", err)
	}
	var memory int64
	if guest.Forks() {
		memory = int64(max(o.Templates, 0)) << 20
	}
	e.templates = template.New(e.instances, e.forkLibrary(), memory)
	e.learner = learn.New(e.instances, e.archives, e.templates)
	e.modules = module.New(e.instances, module.Options{Archives: e.archives, Tags: &e.tags, Templates: e.templates, Cached: e.learner.Cached})
	return e, nil
}

// zygotesDisabled returns the reason for which the options disable zygotes, or nil.
func (o *Options) zygotesDisabled() error {
	switch {
	case o.NoZygotes:
		return errors.New("disabled by the configuration")
	case o.Unsandboxed:
		return errors.New("functions run without a sandbox")
	default:
		return nil
	}
}

// serverOf returns the server of a data cache; nil for none.
func serverOf(c datacache.Cache) *datacache.Server {
	if c == nil {
		return nil
	}
	return datacache.NewServer(c)
}

// initDir empties the directory and installs the agents of the guests in it.
func (e *Engine) initDir() error {
	if err := os.RemoveAll(e.o.Dir); err != nil {
		return err
	}
	// Without mounts of their own, guests pass through these directories. With
	// mounts, no other user of the host needs access to the files of functions.
	trees := os.FileMode(0o755)
	if e.host.Sandbox.PrivateTmp() {
		trees = 0o700
	}
	if err := errors.Join(
		os.MkdirAll(e.o.TreesDir, trees), os.Chmod(e.o.TreesDir, trees), os.MkdirAll(e.o.Dir, 0o711), os.Chmod(e.o.Dir, 0o711),
		os.MkdirAll(e.o.Archives, trees), os.Chmod(e.o.Archives, trees),
	); err != nil {
		return err
	}
	if err := e.host.OpenSockets(); err != nil {
		return err
	}
	if err := errors.Join(e.host.Reachable(e.o.Dir), e.host.Reachable(e.o.TreesDir)); err != nil {
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
	e.archives, err = codecache.Open(e.o.Archives, e.o.MaxArchives, filepath.Base(filepath.Dir(e.agent)))
	return err
}

// Missing lists the sandbox layers that are not active on this host, or returns "".
func (e *Engine) Missing() string { return e.host.Sandbox.Missing() }

// Layers returns all sandbox layers, each with its state on this host.
func (e *Engine) Layers() []sandbox.Layer { return e.host.Sandbox.Layers() }

// Zygotes returns the reason for which zygotes are disabled, or nil.
func (e *Engine) Zygotes() error { return e.zygotes.Disabled() }

// forkLibrary returns the path of the library for forking, as a process sees it.
func (e *Engine) forkLibrary() string {
	if e.host.Sandbox.PrivateTmp() {
		return guestAgent + "/" + guest.ForkLibrary
	}
	return filepath.Join(filepath.Dir(e.agent), guest.ForkLibrary)
}

// Forget drops all facts, code caches and templates of a deleted deployment.
func (e *Engine) Forget(d lateen.DeploymentID) {
	e.archives.Forget(d)
	e.templates.Forget(d)
	e.learner.Forget(d)
}

// Run keeps the pools filled and enforces the limits of instances until ctx ends.
// Then it kills all remaining processes and returns.
func (e *Engine) Run(ctx context.Context) error {
	starts, end := context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan struct{})
	go func() {
		defer close(started)
		_ = e.host.Sandbox.Run(starts) // always nil
	}()
	var background sync.WaitGroup
	background.Go(func() { e.blanks.Run(ctx) })
	if e.o.PoolPast != "" {
		background.Go(func() { e.blanks.Remember(ctx, e.o.PoolPast) })
	}
	background.Go(func() { e.instances.Watch(ctx) })
	background.Go(func() { e.zygotes.Run(ctx) })
	background.Go(func() { e.downloadRuntimes(ctx) })
	background.Go(func() { e.learner.Run(ctx) })
	background.Go(func() { e.templates.KeepStandbys(ctx) })
	background.Go(func() { e.host.ReportStandbys(ctx) })
	e.runner(nodeName(newestNode)).Blanks.Need()
	if missing := e.Missing(); missing != "" {
		e.o.Log.WarnContext(ctx, "layers of the sandbox are missing", "missing", missing)
	}
	<-ctx.Done()
	background.Wait()
	e.host.EndTasks()
	e.modules.End()
	end()
	<-started // all remaining processes have been killed
	e.host.WaitTasks()
	_ = e.host.Sandbox.Close() // the next sandbox sweeps the rest
	return e.host.Close()
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
	if r.Compiles {
		if err := e.modules.Compile(ctx, r, spec, true); err != nil {
			return nil, err
		}
	}
	defer e.burst.Enter()()
	return e.start(ctx, r, spec, tree, notice)
}
