// Package daemon is the composition root: it builds every part in order, runs
// them, and stops them in reverse.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/build"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/secret"
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
	Getenv  func(string) string      // for the OTEL_* variables; nil exports nothing
	Version string                   // of this build
	Fetched func(toolchain.Progress) // told while a runtime is fetched; nil: nobody is
}

// Daemon is the whole platform in one process.
type Daemon struct {
	o       Options
	parts   []part
	closers []io.Closer // in the order they were opened
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
	runtimes                                                          string
}

func pathsIn(root string) paths {
	in := func(name string) string { return filepath.Join(root, name) }
	return paths{
		root: root, database: in("lateen.db"), key: in("key"), token: in("token"), artifacts: in("artifacts"), trees: in("trees"),
		builds: in("builds"), cache: in("cache"), logs: in("logs"), runs: in("run"), runtimes: in("runtimes"),
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
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lock(root)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, lock)
	return nil
}

// traffic tells the parts that serve requests. It is filled in once they are
// there, before anything runs.
type traffic struct {
	*edge.Edge

	fleet *fleet.Fleet
}

// Forget implements [control.Traffic].
func (t *traffic) Forget(id lateen.DeploymentID) {
	t.Edge.Forget(id)
	t.fleet.Forget(id)
}

// recorders hand each record to several.
type recorders []edge.Recorder

// Record implements [edge.Recorder].
func (rs recorders) Record(r lateen.Record) {
	for _, one := range rs {
		one.Record(r)
	}
}

// build makes every part, the inner ones first.
func (d *Daemon) build(ctx context.Context, at paths) error {
	c := d.o.Config
	tel, err := telemetry.New(ctx, telemetry.Options{Out: d.o.Out, Level: c.LogLevel, Format: c.LogFormat, Getenv: d.o.Getenv, Version: d.o.Version})
	if err != nil {
		return err
	}
	db, err := d.openStore(ctx, at)
	if err != nil {
		return err
	}
	keeper, err := secret.OpenFile(at.key)
	if err != nil {
		return err
	}
	artifacts, err := artifact.OpenDisk(at.artifacts)
	if err != nil {
		return err
	}
	trees := artifact.NewTrees(at.trees, artifacts)
	builder, err := build.New(build.Options{Artifacts: artifacts, Trees: trees, Dir: at.builds, Log: tel.Log("build")})
	if err != nil {
		return err
	}
	logs, err := observe.Open(ctx, observe.Options{Dir: at.logs, MaxBytes: int64(c.LogBytes), MaxAge: c.LogAge, Log: tel.Log("observe")})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, logs)
	kept, err := cache.Open(cache.Options{Dir: at.cache, MaxBytes: int64(c.CacheBytes), MaxMemory: int64(c.CacheMemory), Log: tel.Log("cache")})
	if err != nil {
		return err
	}
	serving := &traffic{}
	functions, err := d.newEngine(at, trees, logs, tel, serving)
	if err != nil {
		return err
	}
	d.missing = functions.Missing()
	instances := fleet.New(fleet.Options{
		Engine: functions, Log: tel.Log("fleet"), Concurrency: c.Concurrency, Queue: c.Queue, PerFunction: c.PerFunction,
		Total: c.Instances, KeepAlive: c.KeepAlive, Grace: c.DrainTimeout, Duration: c.Duration, MaxDuration: c.MaxDuration,
	})
	serving.fleet = instances
	verbs, err := d.newControl(db, artifacts, trees, builder, keeper, serving, tel)
	if err != nil {
		return err
	}
	stopping := make(chan struct{}) // closed when the edge is told to stop
	calls, err := api.New(api.Options{Control: verbs, Logs: logs, Log: tel.Log("api"), Version: d.o.Version, Stopping: stopping})
	if err != nil {
		return err
	}
	front, err := d.newEdge(edge.Options{
		Artifacts: artifacts, Source: verbs, Fleet: instances, Records: recorders{logs, tel}, Cache: kept, Log: tel.Log("edge"),
		API: withMetrics(calls, verbs, tel.Handler()), Domain: c.Domain, Region: c.Region, TrustedProxies: c.TrustedProxies,
		OriginAllow: privateOrigins(c), MaxBody: int64(c.BodyLimit), Grace: c.DrainTimeout,
	})
	if err != nil {
		return err
	}
	serving.Edge = front
	if err := d.bootstrap(ctx, verbs, at.token); err != nil {
		return err
	}
	hosts, err := verbs.Hosts(ctx)
	if err != nil {
		return err
	}
	front.Route(hosts)
	if err := sweepCache(kept, hosts); err != nil {
		return err
	}
	gauges(tel, instances, logs, kept)
	d.parts = []part{
		{"telemetry", tel.Run},
		{"observe", logs.Run},
		{"cache", kept.Run},
		{"engine", functions.Run},
		{"fleet", instances.Run},
		{"control", verbs.Run},
		{"edge", func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { close(stopping) })
			return front.Run(ctx)
		}},
	}
	return nil
}

func (d *Daemon) newControl(db *store.Store, artifacts artifact.Store, trees *artifact.Trees, builder *build.Builder, keeper secret.Keeper, serving *traffic, tel *telemetry.Telemetry) (*control.Control, error) {
	c := d.o.Config
	return control.New(control.Options{
		Store: db, Artifacts: artifacts, Trees: trees, Builder: builder, Keeper: keeper, Traffic: serving,
		Keep: func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error) {
			return build.Keep(ctx, artifacts, manifest)
		},
		Domain: c.Domain, SiteURL: c.SiteURL, Region: c.Region, Team: c.Team, Log: tel.Log("control"),
	})
}

// sweepCache drops the pages of deployments that no host leads to any more.
func sweepCache(kept *cache.Cache, hosts map[string]lateen.DeploymentID) error {
	alive := make(map[string]bool, len(hosts))
	for _, id := range hosts {
		alive[string(id)] = true
	}
	return kept.Sweep(func(scope string) bool { return alive[scope] })
}

func (d *Daemon) openStore(ctx context.Context, at paths) (db *store.Store, err error) {
	if d.o.Config.Database != "" {
		db, err = postgres.Open(ctx, d.o.Config.Database)
	} else {
		db, err = sqlite.Open(ctx, at.database)
	}
	if err == nil {
		d.closers = append(d.closers, db)
	}
	return db, err
}

func (d *Daemon) newEngine(at paths, trees *artifact.Trees, logs *observe.Log, tel *telemetry.Telemetry, serving *traffic) (*local.Engine, error) {
	log := tel.Log("engine")
	tools, err := toolchain.New(toolchain.Options{Dir: at.runtimes, Registry: d.o.Config.Registry, Progress: d.o.Fetched})
	if err != nil {
		return nil, err
	}
	return local.New(local.Options{
		Dir: at.runs, Trees: trees.Dir, TreesDir: at.trees, Toolchain: tools, Logs: logs, Log: log,
		Pool: cmp.Or(d.o.Config.Pool, -1), Memory: d.o.Config.Memory, // none means none
		Purge: func(id lateen.DeploymentID, tags []string, grace time.Duration) {
			if err := serving.Purge(id, tags, grace); err != nil {
				log.Error("an invalidation may not survive a restart", "deployment_id", id, "err", err)
			}
		},
	})
}

// newEdge opens the listener and makes the edge behind it.
func (d *Daemon) newEdge(o edge.Options) (*edge.Edge, error) {
	c := d.o.Config
	listener, err := net.Listen("tcp", c.Listen) //nolint:noctx // it lives as long as the daemon
	if err != nil {
		return nil, errListen.With("cannot listen on %s", c.Listen).Because(err)
	}
	d.closers = append(d.closers, listener)
	d.addr = listener.Addr()
	if c.TLSCert == "" {
		o.Plain = []net.Listener{listener}
		return edge.New(o), nil
	}
	certificate, err := edge.OpenCertificate(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, err
	}
	o.Secure, o.TLS = []net.Listener{listener}, certificate.Config()
	return edge.New(o), nil
}

var errListen = &lateen.Error{Code: lateen.Conflict, Reason: "listen_failed", Message: "cannot listen", Hint: "another program may have the port: choose another with --listen"}

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
		if err == nil {
			d.token = string(trimLine(kept))
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read the token: %w", err)
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
// everything. It returns the first failure of a part.
func (d *Daemon) Run(ctx context.Context) error {
	err := runAll(ctx, 2*d.o.Config.DrainTimeout+10*time.Second, d.parts)
	return errors.Join(err, d.close())
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
