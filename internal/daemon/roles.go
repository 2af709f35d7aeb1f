package daemon

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/authority"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/meter"
	"github.com/lateen-dev/lateen/internal/telemetry"
	"github.com/lateen-dev/lateen/internal/worker"
)

// functions runs functions: in this process, or on a worker.
type functions interface {
	worker.Backend

	// Retire ends the instances of a deleted deployment that run in this process. It
	// never blocks; the files of the deployment are left to Forget.
	Retire(d lateen.DeploymentID)
	// Hasten sets a deadline for stops in this process.
	Hasten(then time.Time)
	// Stats and Pools describe this process; they are zero if functions run elsewhere.
	Stats() fleet.Stats
	Pools() local.PoolStats
	// Debug returns the debug bundle of the worker, a .tar; nil if functions run in this
	// process.
	Debug(ctx context.Context) (io.ReadCloser, error)
}

// localFunctions runs functions in this process.
type localFunctions struct {
	*fleet.Fleet

	engine *local.Engine
}

// Retire implements [functions].
func (f *localFunctions) Retire(d lateen.DeploymentID) { f.Fleet.Forget(d) }

// Forget implements [worker.Backend]. It ends instances again: a request that had found
// its site before the deletion may have started one.
func (f *localFunctions) Forget(d lateen.DeploymentID) {
	f.Fleet.Forget(d)
	f.engine.Forget(d)
}

// Provide implements [worker.Backend].
func (f *localFunctions) Provide(ctx context.Context, fn *lateen.Function) error {
	return f.engine.Provide(ctx, fn)
}

// Pools returns the state of the blank processes.
func (f *localFunctions) Pools() local.PoolStats { return f.engine.Pools() }

// Debug returns nil.
func (*localFunctions) Debug(context.Context) (io.ReadCloser, error) { return nil, nil }

// remoteFunctions runs functions on a worker.
type remoteFunctions struct{ *worker.Client }

// Retire does nothing: Forget reaches the worker a moment later.
func (remoteFunctions) Retire(lateen.DeploymentID) {}

// Hasten does nothing: the instances of a worker outlive this process.
func (remoteFunctions) Hasten(time.Time) {}

// Stats returns zero.
func (remoteFunctions) Stats() (none fleet.Stats) { return none }

// Pools returns zero.
func (remoteFunctions) Pools() (none local.PoolStats) { return none }

// newFunctions returns the functions of the roles of this process, and the parts that
// run them. Invalidations go to the cache.
func (d *Daemon) newFunctions(at paths, c *capabilities, trusted *authority.Authority) (functions, []part, error) {
	if !d.o.Config.Has(config.Worker) {
		d.network = newNetwork(d.o.Config, c.tel.Log("egress"))
		client := d.newClient(c)
		return remoteFunctions{client}, []part{{"meter", c.usage.Run}, {"worker", client.Run}}, nil
	}
	purge := purger(c)
	e, err := d.newEngine(at, c.tel, c.trees, c.logs, c.usage, c.data, trusted, func(o datacache.Owner, tags []string, grace time.Duration) {
		purge(worker.Purge{Project: o.Project, Deployment: o.Deployment, Tags: tags, Grace: grace})
	})
	if err != nil {
		return nil, nil, err
	}
	f := d.newFleet(at, c.tel, e, c.logs, c.usage)
	gauges(c.tel, f, e.Pools)
	return &localFunctions{f, e}, []part{
		{"meter", c.usage.Run}, // ends after the engine and the fleet, whose processes report their usage at their end
		{"engine", e.Run},
		{"fleet", f.Run},
	}, nil
}

// newClient returns the client of the configured worker.
func (d *Daemon) newClient(c *capabilities) *worker.Client {
	return worker.New(worker.ClientOptions{
		Dial: worker.Dial(d.o.Config.WorkerSocket(d.o.Config.Workers)), Lines: c.logs, Purge: purger(c), Usage: c.db, Data: datacache.NewServer(c.data),
		Expose: d.services, Patience: d.o.Config.ReloadTimeout, Version: d.o.Version, Log: c.tel.Log("worker"),
	})
}

// purger returns a function that applies invalidations of functions.
func purger(c *capabilities) func(worker.Purge) {
	log := c.tel.Log("engine")
	return func(p worker.Purge) {
		if err := c.pages.Invalidate([]string{string(p.Deployment)}, p.Tags, p.Grace); err != nil {
			log.Error("an invalidation may not survive a restart", "deployment_id", p.Deployment, "err", err)
		}
	}
}

// workerLock is the lock file of the files that a worker writes: the instances'
// directory, the runtimes and the code caches. lockName is that of all others. Both
// roles lay out trees.
const workerLock = "worker.lock"

// buildWorker creates the components of a process that has only the role worker.
func (d *Daemon) buildWorker(ctx context.Context, at paths) error {
	o := d.o.Config
	tel, err := telemetry.New(ctx, telemetry.Options{Out: d.o.Out, Level: o.LogLevel, Format: o.LogFormat, Getenv: d.o.Getenv, Version: d.o.Version})
	if err != nil {
		return err
	}
	d.log = tel.Log("daemon")
	trusted, err := openAuthority(at)
	if err != nil {
		return err
	}
	events, data := worker.NewEvents(), new(datacache.Remote)
	reported := new(worker.Usage)
	usage := meter.New(meter.Options{Store: reported, Log: tel.Log("meter")})
	usageGauges(tel, usage)
	e, err := d.newEngine(at, tel, artifact.NewTrees(at.trees, artifact.ViewDisk(at.artifacts)), events, usage, data, trusted, func(o datacache.Owner, tags []string, grace time.Duration) {
		events.Purge(worker.Purge{Project: o.Project, Deployment: o.Deployment, Tags: tags, Grace: grace})
	})
	if err != nil {
		return err
	}
	f := d.newFleet(at, tel, e, events, usage)
	gauges(tel, f, e.Pools)
	listener, err := worker.Listen(ctx, o.WorkerSocket(o.WorkerListen))
	if err != nil {
		return errListen.With("cannot listen on %s", o.WorkerListen).WithHint("set --worker-listen to unix: and a path that this user may create").Because(err)
	}
	d.closers = append(d.closers, listener)
	d.addr = listener.Addr()
	running := &localFunctions{f, e}
	server := worker.NewServer(worker.ServerOptions{
		Backend: running, Listener: listener, Events: events, Usage: reported, Data: data, Expose: d.network.Expose,
		Metrics: tel.Handler(), Debug: &process{d, tel, running, time.Now()}, Drain: o.DrainTimeout, Version: d.o.Version, Log: tel.Log("worker"),
	})
	d.parts = []part{
		{"telemetry", tel.Run},
		{"worker", server.Run}, // ends last, so that the last log lines reach the edge
		{"meter", usage.Run},   // ends after the engine and the fleet, whose processes report their usage at their end
		{"engine", e.Run},
		{"fleet", f.Run},
		{"drain", server.Drain},
	}
	return nil
}

// lockRoles locks the files of the roles of this process.
func (d *Daemon) lockRoles(root string) (err error) {
	if !d.o.Config.Has(config.Control) {
		return d.lockFile(root, workerLock, &d.lock)
	}
	if err := d.lockFile(root, lockName, &d.lock); err != nil || !d.o.Config.Has(config.Worker) {
		return err
	}
	return d.lockFile(root, workerLock, new(*dirLock))
}

func (d *Daemon) lockFile(root, name string, to **dirLock) error {
	l, err := lock(root, name)
	if err != nil {
		return err
	}
	d.closers = slices.Insert(d.closers, 0, io.Closer(l)) // released last
	*to = l
	return nil
}

// openAuthority opens the certificate authority, which processes of both roles use.
func openAuthority(at paths) (*authority.Authority, error) {
	unlock, err := awaitLock(at.authority + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	return authority.Open(at.authority)
}
