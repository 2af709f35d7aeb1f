// Package daemon is the composition root: it creates all components in order, runs
// them, and stops them in reverse order.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"github.com/lateen-dev/lateen/internal/assemble"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/authority"
	"github.com/lateen-dev/lateen/internal/bus"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/edge/certificate"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/meter"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/socket"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/postgres"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
	"github.com/lateen-dev/lateen/internal/telemetry"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

// Options are the options of a [Daemon].
type Options struct {
	Config  *config.Config
	Out     io.Writer                // destination of the daemon's own log; nil discards it
	Getenv  func(string) string      // environment, for the OTEL_* variables and PATH; nil is empty
	Version string                   // version of this build
	Fetched func(toolchain.Progress) // called while a runtime is fetched; nil is allowed

	// Sockets are the listeners that replace Config.Listen. If the set is empty, the
	// daemon adds the listener that it opens, so that a successor inherits it. nil:
	// the daemon opens a listener and hands it to no successor.
	Sockets *socket.Set
	// Reload makes Run stop the platform and execute Successor in this process;
	// Sockets stay open. A reload needs all three fields. nil disables reloads.
	Reload    <-chan struct{}
	Successor *Successor
}

// Daemon is the whole platform in one process.
type Daemon struct {
	o         Options
	parts     []part
	closers   []io.Closer        // open resources, to be closed from the last to the first
	held      *postgres.Lock     // lock on the database of --database; nil without one
	database  *store.Store       // the database of --database; nil without one, and before it is opened
	tls       *certificate.Files // nil without a certificate, and before it is read
	edge      *edge.Edge
	functions functions
	log       *slog.Logger
	lock      *dirLock
	network   *egress.Network
	token     string
	first     bool
	addr      net.Addr
	missing   string

	listeners []net.Listener // listeners that [Daemon.listen] has set
}

// paths are the files and directories in the data directory. Functions may read only
// trees and runtimes.
type paths struct {
	root                                                              string
	database, key, token, artifacts, trees, builds, cache, logs, runs string
	runtimes, histories, archives, demand, authority, cleaned         string
}

func pathsIn(root string) paths {
	in := func(name string) string { return filepath.Join(root, name) }
	return paths{
		root: root, database: in("lateen.db"), key: in("key"), token: in("token"), artifacts: in("artifacts"), trees: in("trees"),
		builds: in("builds"), cache: in("cache"), logs: in("logs"), runs: in("run"), runtimes: in("runtimes"), histories: in("histories"), archives: in("archives"), demand: in("demand.json"), authority: in("authority.pem"), cleaned: in("cleaned"),
	}
}

// New opens the data directory and creates the platform in it. No component runs and
// no request is answered before [Daemon.Run]. The first start creates a team, its
// owner and a token; see [Daemon.Token].
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
			_ = d.close() // the first error explains the failure
		}
	}()
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) && o.Config.Has(config.Edge) {
		if err := d.openOutside(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.openDir(root); err != nil {
		return nil, err
	}
	if !o.Config.Has(config.Edge) {
		return d, d.buildWorker(ctx, pathsIn(root))
	}
	return d, d.build(ctx, pathsIn(root))
}

// openOutside opens the parts that need no data directory. If one of them fails at the
// first start, no directory is left.
func (d *Daemon) openOutside(ctx context.Context) error {
	if err := d.listen(); err != nil {
		return err
	}
	if err := d.openCertificate(); err != nil || d.o.Config.Database == "" {
		return err
	}
	_, err := d.openDatabase(ctx)
	return err
}

// openDir creates the data directory and locks it for this process. Other users may
// traverse the directory but not list it.
func (d *Daemon) openDir(root string) error {
	if err := os.MkdirAll(root, 0o711); err != nil { //nolint:gosec // functions run as other users and reach their trees through it
		return errData.With("cannot create the data directory %s: %s", root, causeOf(err)).Because(err)
	}
	err := d.lockRoles(root)
	if err == nil {
		_ = os.RemoveAll(filepath.Join(root, "modules")) // earlier versions stored compiled code there, which is unused now
	}
	return err
}

// recorders passes each record to several recorders.
type recorders []edge.Recorder

// Record implements [edge.Recorder].
func (rs recorders) Record(r lateen.Record) {
	for _, one := range rs {
		one.Record(r)
	}
}

// capabilities are the components that own one resource each.
type capabilities struct {
	tel       *telemetry.Telemetry
	db        *store.Store
	keeper    secret.Keeper
	artifacts *artifact.Disk
	trees     *artifact.Trees
	builder   *assemble.Builder
	logs      *observe.Log
	pages     *cache.Cache
	data      *cache.Data
	usage     *meter.Meter
}

// openBound opens the parts that must belong to the same platform: the store, the
// artifacts and the key.
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

// open opens the resources in the data directory.
func (d *Daemon) open(ctx context.Context, at paths) (c capabilities, err error) {
	o := d.o.Config
	c.tel, err = telemetry.New(ctx, telemetry.Options{Out: d.o.Out, Level: o.LogLevel, Format: o.LogFormat, Getenv: d.o.Getenv, Version: d.o.Version})
	if err != nil {
		return c, err
	}
	if err := d.openBound(ctx, at, &c); err != nil {
		return c, err
	}
	c.usage = meter.New(meter.Options{Store: c.db, Log: c.tel.Log("meter")})
	usageGauges(c.tel, c.usage)
	c.trees = artifact.NewTrees(at.trees, c.artifacts)
	c.builder, err = assemble.New(assemble.Options{Artifacts: c.artifacts, Trees: c.trees, Dir: at.builds, Log: c.tel.Log("build")})
	if err != nil {
		return c, err
	}
	c.logs, err = observe.Open(ctx, observe.Options{Dir: at.logs, MaxBytes: int64(o.LogBytes), MaxAge: o.LogAge, Log: c.tel.Log("observe")})
	if err != nil {
		return c, err
	}
	d.closers = append(d.closers, c.logs)
	c.pages, err = cache.Open(cache.Options{Dir: at.cache, MaxBytes: int64(o.CacheBytes), MaxMemory: int64(o.CacheMemory), Log: c.tel.Log("cache")})
	if err == nil {
		c.data = c.pages.Data()
	}
	return c, err
}

// build creates all components, the inner ones first.
func (d *Daemon) build(ctx context.Context, at paths) error {
	o := d.o.Config
	c, err := d.open(ctx, at)
	if err != nil {
		return err
	}
	d.log = c.tel.Log("daemon")
	trusted, err := openAuthority(at)
	if err != nil {
		return err
	}
	functions, running, err := d.newFunctions(at, &c, trusted)
	if err != nil {
		return err
	}
	c.builder.Provide = functions.Provide
	events := bus.New(bus.Options{Events: c.db, Log: c.tel.Log("bus")})
	verbs, err := control.New(control.Options{
		Store: c.db, Artifacts: c.artifacts, Trees: c.trees, Builder: c.builder, Keeper: c.keeper, Events: events,
		Keep: func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error) {
			return assemble.Keep(ctx, c.artifacts, manifest)
		},
		Domain: o.Domain, SiteURL: o.SiteURL, Region: o.Region, Team: o.Team, TeamBytes: o.TeamStorage.Of(diskSize(o.Data)), AuditAge: o.AuditAge, UsageAge: o.UsageAge,
		Spans: c.tel.Spans(), Log: c.tel.Log("control"),
	})
	if err != nil {
		return err
	}
	preparer := newPreparer(c.tel.Log("prepare"))
	preparer.site, preparer.prepare, preparer.produce = verbs.Site, functions.Prepare, functions.Produce
	stopping := make(chan struct{}) // closed when the edge starts to stop
	calls, err := api.New(api.Options{
		Control: verbs, Logs: c.logs, Log: c.tel.Log("api"), Version: d.o.Version, Stopping: stopping,
		Functions: functions, FunctionLimits: functionLimits(o), Debug: &debugger{process: process{d, c.tel, functions, time.Now()}, of: &c, verbs: verbs},
	})
	if err != nil {
		return err
	}
	front, err := d.newEdge(edge.Options{
		Artifacts: c.artifacts, Source: verbs, Fleet: functions, Prewarm: functions.Prewarm, Records: recorders{c.logs, c.tel}, Lines: c.logs, Cache: c.pages, Log: c.tel.Log("edge"),
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
	d.edge, d.functions = front, functions
	events.Subscribe(front.Apply)
	events.Subscribe(preparer.apply)
	events.Subscribe(func(events []lateen.Event) { retireIn(functions, events) })
	if err := events.Open(ctx); err != nil {
		return err
	}
	if err := restore(ctx, verbs, front, preparer); err != nil {
		return err
	}
	storageGauges(c.tel, c.logs, c.pages)
	dataGauges(c.tel, c.data)
	cleaner := cleaner{forgetCode: functions.Forget, removePages: front.Forget, invalidate: invalidator(verbs, c.pages), log: c.tel.Log("cache")}
	cleaning := events.Consumer(at.cleaned, cleaner.clean)
	verbs.Invalidated = within(invalidationTime, cleaning.Await)
	d.parts = append([]part{
		{"telemetry", c.tel.Run},
		{"database", func(ctx context.Context) error { return d.hold(ctx, c.tel.Log("store")) }},
		{"observe", c.logs.Run},
		{"cache", c.pages.Run},
	}, running...)
	d.parts = append(d.parts, []part{
		{"preparer", preparer.Run},
		{"bus", events.Run},
		{"cleaner", cleaning.Run},
		{"control", verbs.Run},
		{"edge", func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { close(stopping) })
			return front.Run(ctx)
		}},
	}...)
	return nil
}

func (d *Daemon) openStore(ctx context.Context, at paths) (*store.Store, error) {
	if d.o.Config.Database != "" {
		return d.openDatabase(ctx)
	}
	db, err := sqlite.Open(ctx, at.database)
	if sqlite.Damaged(err) {
		err = errDatabaseDamaged.With("%s is damaged: %s", at.database, err.Error()).Because(err).
			WithHint("restore it from a backup: `rm -f %[1]s-wal %[1]s-shm && cp BACKUP/lateen.db %[1]s`; see docs/how-to/backup.md", at.database)
	}
	if err == nil {
		d.closers = append(d.closers, db)
	}
	return db, err
}

// openDatabase opens the database of --database, unless it is open.
func (d *Daemon) openDatabase(ctx context.Context) (*store.Store, error) {
	if d.database != nil {
		return d.database, nil
	}
	db, err := d.openPostgres(ctx)
	if err != nil && lateen.CodeOf(err) != lateen.Conflict {
		err = errDatabase.With("%s", err.Error()).Because(err)
	}
	if err == nil {
		d.closers, d.database = append(d.closers, db), db
	}
	return db, err
}

// openPostgres opens the database of --database and locks it for this daemon: two
// daemons would sweep artifacts that deployments of the other need.
func (d *Daemon) openPostgres(ctx context.Context) (*store.Store, error) {
	hold, err := postgres.Acquire(ctx, d.o.Config.Database)
	if errors.Is(err, postgres.ErrInUse) {
		return nil, errDataInUse.With("another lateen uses the database of --database").WithHint("stop it, or name another database: `lateen up --database postgres://…`")
	}
	if err != nil {
		return nil, err
	}
	d.closers, d.held = append(d.closers, hold), hold
	return postgres.Open(ctx, d.o.Config.Database)
}

// hold keeps the lock on the database of --database until ctx ends. It fails if
// another daemon has taken the lock.
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

func (d *Daemon) newEngine(at paths, tel *telemetry.Telemetry, trees *artifact.Trees, logs engine.LogSink, usage engine.UsageSink, data datacache.Cache, trusted *authority.Authority, purge func(datacache.Owner, []string, time.Duration)) (*local.Engine, error) {
	tools, err := toolchain.New(toolchain.Options{Dir: at.runtimes, Registry: d.o.Config.Registry, Progress: d.o.Fetched})
	if err != nil {
		return nil, err
	}
	d.network = newNetwork(d.o.Config, tel.Log("egress"))
	return local.New(local.Options{
		Dir: at.runs, Trees: trees.Dir, TreesDir: at.trees, Toolchain: tools, Path: d.path(), Network: d.network, Logs: logs, Usage: usage, Log: tel.Log("engine"),
		Platform: &guest.Platform{Domain: d.o.Config.Domain, Certificate: string(trusted.Certificate())},
		Pool:     cmp.Or(d.o.Config.Pool, -1), Templates: cmp.Or(d.o.Config.Templates, -1), Archives: at.archives, PoolPast: at.demand, // the engine takes 0 as its default, so -1 stands for 0
		Memory: d.o.Config.Memory, Unsandboxed: d.o.Config.Unsandboxed, NoZygotes: !d.o.Config.Zygotes, Purge: purge, Data: data,
	})
}

func (d *Daemon) newFleet(at paths, tel *telemetry.Telemetry, e engine.Engine, lines engine.LogSink, usage engine.UsageSink) *fleet.Fleet {
	o := d.o.Config
	return fleet.New(fleet.Options{
		Engine: e, Log: tel.Log("fleet"), Lines: lines, Usage: usage, Concurrency: o.Concurrency, Queue: o.Queue, PerFunction: o.PerFunction,
		Total: o.Instances, Memory: fleetMemory(o), KeepAlive: o.KeepAlive, Histories: at.histories, Grace: o.DrainTimeout, Duration: o.Duration, MaxDuration: o.MaxDuration,
	})
}

// path lists the directories in which the host's own runtimes may be.
func (d *Daemon) path() []string {
	if d.o.Getenv == nil {
		return nil
	}
	return filepath.SplitList(d.o.Getenv("PATH"))
}

// services returns the services of the platform that functions may reach.
func (d *Daemon) services() (at []netip.AddrPort) {
	for _, l := range d.listeners {
		at = append(at, publicServices(d.o.Config, l.Addr())...)
	}
	return at
}

// newEdge opens the listeners and creates the edge that serves them.
func (d *Daemon) newEdge(o edge.Options) (*edge.Edge, error) {
	c := d.o.Config
	if err := d.listen(); err != nil {
		return nil, err
	}
	d.addr = d.listeners[0].Addr()
	if site, err := url.Parse(c.SiteURL(c.Domain)); err == nil && site.Port() != "" {
		_, o.Port, _ = net.SplitHostPort(d.addr.String()) // the actual port, if port 0 is configured
	}
	d.network.Expose(d.services()...)
	if c.TLSCert == "" {
		o.Plain = d.listeners
		return edge.New(o), nil
	}
	if err := d.openCertificate(); err != nil {
		return nil, err
	}
	o.Secure, o.TLS = d.listeners, d.tls.Config()
	return edge.New(o), nil
}

// openCertificate reads the certificate of the listeners, unless there is none or it was
// read.
func (d *Daemon) openCertificate() error {
	c := d.o.Config
	if c.TLSCert == "" || d.tls != nil {
		return nil
	}
	files, err := certificate.Open(c.TLSCert, c.TLSKey)
	if err != nil {
		return errCertificate.With("%s", err.Error()).Because(err)
	}
	d.tls = files
	return nil
}

var errData = &lateen.Error{Code: lateen.Invalid, Reason: "data_unusable", Message: "the data directory cannot be used", Hint: "set --data to a directory that this user may write to or create"}

var errListen = &lateen.Error{Code: lateen.Conflict, Reason: "listen_failed", Message: "cannot listen", Hint: "set --listen to host:port; if another program uses the port, choose another port"}

// privilegedHint is the hint for a port on which this user may not listen.
const privilegedHint = "start Lateen as root, or with `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd unit, or lower the sysctl net.ipv4.ip_unprivileged_port_start"

var errCertificate = &lateen.Error{Code: lateen.Invalid, Reason: "certificate_unusable", Message: "the certificate cannot be used", Hint: "set --tls-cert and --tls-key to PEM files that belong to each other"}

var errDatabase = &lateen.Error{Code: lateen.Unavailable, Reason: "database_unavailable", Message: "the database cannot be opened", Hint: "set --database to the URL of a running PostgreSQL server, with a user that may create tables"}

// bootstrap creates the first team, owner and token if they are missing, and writes
// the token to a file for users with access to the data directory.
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

// Token returns the owner's token. first is true if this start created the owner.
func (d *Daemon) Token() (token string, first bool) { return d.token, d.first }

// Missing lists the sandbox layers that this host does not permit, or is "".
func (d *Daemon) Missing() string { return d.missing }

// Addr is the address of the first listener.
func (d *Daemon) Addr() string { return d.addr.String() }

// Run serves until ctx ends, then drains the requests in flight and closes all
// resources. It returns the failures of components. After a reload it does not
// return, unless the successor cannot be executed.
func (d *Daemon) Run(ctx context.Context) error {
	own, end := context.WithCancelCause(ctx)
	defer end(nil)
	reloading := func() bool { return errors.Is(context.Cause(own), errReload) }
	stop := context.AfterFunc(own, func() {
		if d.o.Sockets != nil && !reloading() {
			_ = d.o.Sockets.Close() // no client may wait for a successor that never starts; Close returns nil
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

// close closes the open resources, the last first.
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
