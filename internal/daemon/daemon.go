// Package daemon is the composition root: it builds every part in order, runs
// them, and stops them in reverse.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/authority"
	"github.com/lateen-dev/lateen/internal/build"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/socket"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/postgres"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
	"github.com/lateen-dev/lateen/internal/telemetry"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

// Options says what to run.
type Options struct {
	Config  *config.Config
	Out     io.Writer                // the daemon's own log; nil discards
	Getenv  func(string) string      // for the OTEL_* variables, and PATH; nil: there are none
	Version string                   // of this build
	Fetched func(toolchain.Progress) // told while a runtime is fetched; nil: nobody is

	// Sockets are served in place of Config.Listen. Where there are none, the one
	// that is opened is added. nil: nobody has it after the daemon.
	Sockets *socket.Set
	// Reload makes Run end and execute Successor in this process, with Sockets
	// open all the while. All three are needed for that. nil: there is no reload.
	Reload    <-chan struct{}
	Successor *Successor
}

// Daemon is the whole platform in one process.
type Daemon struct {
	o       Options
	parts   []part
	closers []io.Closer    // in the order they were opened
	held    *postgres.Held // the database of --database; nil without one
	serving *traffic
	log     *slog.Logger
	lock    *held
	network *egress.Network
	token   string
	first   bool
	addr    net.Addr
	missing string
}

// paths are where things are kept in the data directory. Only trees and
// runtimes are for the eyes of functions.
type paths struct {
	root                                                              string
	database, key, token, artifacts, trees, builds, cache, logs, runs string
	runtimes, histories, archives, demand, authority                  string
}

func pathsIn(root string) paths {
	in := func(name string) string { return filepath.Join(root, name) }
	return paths{
		root: root, database: in("lateen.db"), key: in("key"), token: in("token"), artifacts: in("artifacts"), trees: in("trees"),
		builds: in("builds"), cache: in("cache"), logs: in("logs"), runs: in("run"), runtimes: in("runtimes"), histories: in("histories"), archives: in("archives"), demand: in("demand.json"), authority: in("authority.pem"),
	}
}

// New opens the data directory and builds the platform in it. Nothing runs and
// nothing is answered before [Daemon.Run]. At the first start it makes a team,
// its owner and a token; see [Daemon.Token].
func New(ctx context.Context, o Options) (_ *Daemon, err error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(o.Config.Data)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	d := &Daemon{o: o}
	defer func() {
		if err != nil {
			_ = d.close() // the first error is the one to tell
		}
	}()
	if err := d.openDir(root); err != nil {
		return nil, err
	}
	return d, d.build(ctx, pathsIn(root))
}

// openDir makes the data directory, passable but not readable for others, and
// takes it for this process.
func (d *Daemon) openDir(root string) error {
	if err := os.MkdirAll(root, 0o711); err != nil { //nolint:gosec // functions run as others and reach their trees through it
		return errData.With("cannot make the data directory %s", root).Because(err)
	}
	var err error
	if d.lock, err = lock(root); err == nil {
		d.closers = append(d.closers, d.lock)
		_ = os.RemoveAll(filepath.Join(root, "modules")) // earlier versions kept compiled code there, which only takes room
	}
	return err
}

// traffic tells the parts that serve requests. It is filled in once they are
// there, before anything runs.
type traffic struct {
	*edge.Edge

	fleet    *fleet.Fleet
	preparer *preparer
	engine   *local.Engine
}

// Route implements [control.Traffic].
func (t *traffic) Route(hosts map[string]lateen.DeploymentID) {
	t.Edge.Route(hosts)
	t.preparer.route(hosts)
}

// Produce implements [control.Traffic].
func (t *traffic) Produce(p lateen.ProjectID, id lateen.DeploymentID) {
	t.preparer.setProduction(p, id)
}

// Forget implements [control.Traffic].
func (t *traffic) Forget(id lateen.DeploymentID) {
	t.preparer.forget(id) // before the fleet: it is not told of the deployment afterwards
	t.Edge.Forget(id)
	t.fleet.Forget(id)
	t.engine.Forget(id)
}

// recorders hand each record to several.
type recorders []edge.Recorder

// Record implements [edge.Recorder].
func (rs recorders) Record(r lateen.Record) {
	for _, one := range rs {
		one.Record(r)
	}
}

// capabilities are the parts that own a resource each.
type capabilities struct {
	tel       *telemetry.Telemetry
	db        *store.Store
	keeper    secret.Keeper
	artifacts *artifact.Disk
	trees     *artifact.Trees
	builder   *build.Builder
	logs      *observe.Log
	kept      *cache.Cache
}

// openBound opens the parts that belong to one platform: the store, its
// artefacts and its key.
func (d *Daemon) openBound(ctx context.Context, at paths, c *capabilities) error {
	id, err := readIdentity(at, d.o.Config.Database)
	if err != nil {
		return err
	}
	if c.db, err = d.openStore(ctx, at); err != nil {
		return err
	}
	if c.artifacts, err = artifact.OpenDisk(at.artifacts); err != nil {
		return err
	}
	if err := id.bind(ctx, c.db, c.artifacts); err != nil {
		return err
	}
	c.keeper, err = id.openKey(ctx, func(ctx context.Context) (bool, error) { return keyNeeded(ctx, c.db, c.artifacts) })
	return err
}

// open opens what is in the data directory.
func (d *Daemon) open(ctx context.Context, at paths) (c capabilities, err error) {
	o := d.o.Config
	c.tel, err = telemetry.New(ctx, telemetry.Options{Out: d.o.Out, Level: o.LogLevel, Format: o.LogFormat, Getenv: d.o.Getenv, Version: d.o.Version})
	if err != nil {
		return c, err
	}
	if err := d.openBound(ctx, at, &c); err != nil {
		return c, err
	}
	c.trees = artifact.NewTrees(at.trees, c.artifacts)
	c.builder, err = build.New(build.Options{Artifacts: c.artifacts, Trees: c.trees, Dir: at.builds, Log: c.tel.Log("build")})
	if err != nil {
		return c, err
	}
	c.logs, err = observe.Open(ctx, observe.Options{Dir: at.logs, MaxBytes: int64(o.LogBytes), MaxAge: o.LogAge, Log: c.tel.Log("observe")})
	if err != nil {
		return c, err
	}
	d.closers = append(d.closers, c.logs)
	c.kept, err = cache.Open(cache.Options{Dir: at.cache, MaxBytes: int64(o.CacheBytes), MaxMemory: int64(o.CacheMemory), Log: c.tel.Log("cache")})
	return c, err
}

// build makes every part, the inner ones first.
func (d *Daemon) build(ctx context.Context, at paths) error {
	o := d.o.Config
	c, err := d.open(ctx, at)
	if err != nil {
		return err
	}
	d.log = c.tel.Log("daemon")
	serving := &traffic{preparer: newPreparer(c.tel.Log("prepare"))}
	d.serving = serving
	trusted, err := authority.Open(at.authority)
	if err != nil {
		return err
	}
	functions, err := d.newEngine(at, &c, serving, trusted)
	if err != nil {
		return err
	}
	serving.engine, c.builder.Provide = functions, functions.Provide
	serving.fleet = fleet.New(fleet.Options{
		Engine: functions, Log: c.tel.Log("fleet"), Lines: c.logs, Concurrency: o.Concurrency, Queue: o.Queue, PerFunction: o.PerFunction,
		Total: o.Instances, Memory: fleetMemory(o), KeepAlive: o.KeepAlive, Histories: at.histories, Grace: o.DrainTimeout, Duration: o.Duration, MaxDuration: o.MaxDuration,
	})
	verbs, err := control.New(control.Options{
		Store: c.db, Artifacts: c.artifacts, Trees: c.trees, Builder: c.builder, Keeper: c.keeper, Traffic: serving,
		Keep: func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error) {
			return build.Keep(ctx, c.artifacts, manifest)
		},
		Domain: o.Domain, SiteURL: o.SiteURL, Region: o.Region, Team: o.Team, TeamBytes: o.TeamStorage.Of(diskSize(o.Data)), AuditAge: o.AuditAge,
		Log: c.tel.Log("control"),
	})
	if err != nil {
		return err
	}
	serving.preparer.site, serving.preparer.prepare, serving.preparer.produce = verbs.Site, serving.fleet.Prepare, serving.fleet.Produce
	stopping := make(chan struct{}) // closed when the edge is told to stop
	calls, err := api.New(api.Options{
		Control: verbs, Logs: c.logs, Log: c.tel.Log("api"), Version: d.o.Version, Stopping: stopping,
		Functions: serving.fleet,
	})
	if err != nil {
		return err
	}
	serving.Edge, err = d.newEdge(edge.Options{
		Artifacts: c.artifacts, Source: verbs, Fleet: serving.fleet, Prewarm: serving.fleet.Prewarm, Records: recorders{c.logs, c.tel}, Lines: c.logs, Cache: c.kept, Log: c.tel.Log("edge"),
		API: withMetrics(calls, verbs, c.tel.Handler()), Domain: o.Domain, Region: o.Region, TrustedProxies: o.TrustedProxies,
		DialOrigin: dialOrigin(d.network, o.AllowPrivateOrigins), MaxBody: int64(o.BodyLimit), Grace: o.DrainTimeout, Pause: o.ReloadTimeout,
		MaxConnections: maxConnections(), FunctionCertificate: trusted.For, Scheme: o.SiteScheme(),
	})
	if err != nil {
		return err
	}
	if err := d.bootstrap(ctx, verbs, at.token); err != nil {
		return err
	}
	hosts, err := verbs.Hosts(ctx)
	if err != nil {
		return err
	}
	serving.Edge.Route(hosts)
	productions, err := verbs.Productions(ctx)
	if err != nil {
		return err
	}
	for project, id := range productions {
		serving.Produce(project, id)
	}
	gauges(c.tel, serving.fleet, c.logs, c.kept, functions.Pools)
	d.parts = []part{
		{"telemetry", c.tel.Run},
		{"database", func(ctx context.Context) error { return d.hold(ctx, c.tel.Log("store")) }},
		{"observe", c.logs.Run},
		{"cache", c.kept.Run},
		{"engine", functions.Run},
		{"fleet", serving.fleet.Run},
		{"preparer", serving.preparer.Run},
		{"control", verbs.Run},
		{"edge", func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { close(stopping) })
			return serving.Run(ctx)
		}},
	}
	return nil
}

func (d *Daemon) openStore(ctx context.Context, at paths) (db *store.Store, err error) {
	if d.o.Config.Database != "" {
		if db, err = d.openPostgres(ctx); err != nil && lateen.CodeOf(err) != lateen.Conflict {
			err = errDatabase.With("%s", err.Error()).Because(err)
		}
	} else {
		db, err = sqlite.Open(ctx, at.database)
		if sqlite.Damaged(err) {
			err = errDatabaseDamaged.With("%s is damaged: %s", at.database, err.Error()).Because(err).
				WithHint("restore it from a backup: `rm -f %[1]s-wal %[1]s-shm && cp BACKUP/lateen.db %[1]s`; docs/how-to/backup.md says how to make one", at.database)
		}
	}
	if err == nil {
		d.closers = append(d.closers, db)
	}
	return db, err
}

// openPostgres opens the database of --database for this daemon alone: two would
// remove what the other's deployments need.
func (d *Daemon) openPostgres(ctx context.Context) (*store.Store, error) {
	hold, err := postgres.Hold(ctx, d.o.Config.Database)
	if errors.Is(err, postgres.ErrHeld) {
		return nil, errDataInUse.With("another lateen uses the database of --database").WithHint("stop it, or name another database: `lateen up --database postgres://…`")
	}
	if err != nil {
		return nil, err
	}
	d.closers, d.held = append(d.closers, hold), hold
	return postgres.Open(ctx, d.o.Config.Database)
}

// hold keeps the database of --database for this daemon alone while it runs.
func (d *Daemon) hold(ctx context.Context, log *slog.Logger) error {
	if d.held == nil {
		<-ctx.Done()
		return nil
	}
	if err := d.held.Run(ctx, log); err != nil {
		return errDataInUse.With("another lateen has taken the database of --database").Because(err)
	}
	return nil
}

func (d *Daemon) newEngine(at paths, c *capabilities, serving *traffic, trusted *authority.Authority) (*local.Engine, error) {
	log := c.tel.Log("engine")
	tools, err := toolchain.New(toolchain.Options{Dir: at.runtimes, Registry: d.o.Config.Registry, Progress: d.o.Fetched})
	if err != nil {
		return nil, err
	}
	d.network = newNetwork(d.o.Config, c.tel.Log("egress"))
	return local.New(local.Options{
		Dir: at.runs, Trees: c.trees.Dir, TreesDir: at.trees, Toolchain: tools, Path: d.path(), Network: d.network, Logs: c.logs, Log: log,
		Platform: &guest.Platform{Domain: d.o.Config.Domain, Certificate: string(trusted.Certificate())},
		Pool:     cmp.Or(d.o.Config.Pool, -1), Templates: cmp.Or(d.o.Config.Templates, -1), Archives: at.archives, PoolPast: at.demand, // none means none
		Memory: d.o.Config.Memory, Unsandboxed: d.o.Config.Unsandboxed, NoZygotes: !d.o.Config.Zygotes,
		Purge: func(id lateen.DeploymentID, tags []string, grace time.Duration) {
			if err := serving.Purge(id, tags, grace); err != nil {
				log.Error("an invalidation may not survive a restart", "deployment_id", id, "err", err)
			}
		},
	})
}

// path is where runtimes of this host may be.
func (d *Daemon) path() []string {
	if d.o.Getenv == nil {
		return nil
	}
	return filepath.SplitList(d.o.Getenv("PATH"))
}

// newEdge opens the listeners and makes the edge behind them.
func (d *Daemon) newEdge(o edge.Options) (*edge.Edge, error) {
	c := d.o.Config
	listeners, err := d.listen()
	if err != nil {
		return nil, err
	}
	var at []netip.AddrPort
	for _, l := range listeners {
		d.closers = append(d.closers, l)
		at = append(at, doors(c, l.Addr())...)
	}
	d.addr = listeners[0].Addr()
	if site, err := url.Parse(c.SiteURL(c.Domain)); err == nil && site.Port() != "" {
		_, o.Port, _ = net.SplitHostPort(d.addr.String()) // the one there is, where 0 was asked for
	}
	d.network.Expose(at...)
	if c.TLSCert == "" {
		o.Plain = listeners
		return edge.New(o), nil
	}
	certificate, err := edge.OpenCertificate(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, errCertificate.With("%s", err.Error()).Because(err)
	}
	o.Secure, o.TLS = listeners, certificate.Config()
	return edge.New(o), nil
}

var errData = &lateen.Error{Code: lateen.Invalid, Reason: "data_unusable", Message: "the data directory cannot be used", Hint: "--data takes a directory that this user may write to, or may make"}

var errListen = &lateen.Error{Code: lateen.Conflict, Reason: "listen_failed", Message: "cannot listen", Hint: "--listen takes host:port; if another program has the port, choose another"}

// privilegedHint is of a port that this user may not listen on.
const privilegedHint = "start Lateen as root, or with `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the unit of systemd, or lower the sysctl net.ipv4.ip_unprivileged_port_start"

var errCertificate = &lateen.Error{Code: lateen.Invalid, Reason: "certificate_unusable", Message: "the certificate cannot be used", Hint: "--tls-cert and --tls-key take PEM files that belong to each other"}

var errDatabase = &lateen.Error{Code: lateen.Unavailable, Reason: "database_unavailable", Message: "the database cannot be opened", Hint: "--database takes the address of a PostgreSQL that runs, with a user who may make tables in it"}

// bootstrap makes the first team, owner and token where there are none, and
// keeps the token in a file for whoever may read the data directory.
func (d *Daemon) bootstrap(ctx context.Context, verbs *control.Control, file string) error {
	token, created, err := verbs.Bootstrap(ctx)
	if err != nil {
		return err
	}
	d.first = created
	if !created {
		kept, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read the token: %w", err)
		}
		_, err = verbs.Authenticate(ctx, string(trimLine(kept)), "")
		if err == nil {
			d.token = string(trimLine(kept))
			return nil
		}
		if !errors.Is(err, lateen.ErrTokenInvalid) && !errors.Is(err, lateen.ErrTokenMissing) {
			return err
		}
		if token, err = verbs.OwnerToken(ctx); err != nil {
			return err
		}
	}
	d.token = token
	return atomicfile.Write(file, []byte(token+"\n"), 0o600)
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// Token is the owner's token. first is true if this start made it.
func (d *Daemon) Token() (token string, first bool) { return d.token, d.first }

// Missing says which walls around functions do not stand on this host, or "".
func (d *Daemon) Missing() string { return d.missing }

// Addr is the address that is listened on.
func (d *Daemon) Addr() string { return d.addr.String() }

// Run serves until ctx ends, then lets requests in flight finish and closes
// everything. It returns the first failure of a part. After a reload it does
// not return, unless the successor cannot be executed.
func (d *Daemon) Run(ctx context.Context) error {
	own, end := context.WithCancelCause(ctx)
	defer end(nil)
	reloading := func() bool { return errors.Is(context.Cause(own), errReload) }
	stop := context.AfterFunc(own, func() {
		if d.o.Sockets != nil && !reloading() {
			_ = d.o.Sockets.Close() // nobody is to wait for somebody who does not come; it returns nil
		}
	})
	defer stop()
	var awaiting sync.WaitGroup
	if d.o.Reload != nil && d.o.Successor != nil && d.o.Sockets != nil {
		awaiting.Go(func() { d.awaitReload(own, end) })
	}
	err := runAll(own, 2*d.o.Config.DrainTimeout+10*time.Second, d.parts)
	end(nil)
	awaiting.Wait()
	err = errors.Join(err, d.close())
	if reloading() && ctx.Err() == nil {
		return d.succeed(ctx, err)
	}
	return err
}

// close closes what is open, the last first.
func (d *Daemon) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		if err := d.closers[i].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	d.closers = nil
	return errors.Join(errs...)
}
