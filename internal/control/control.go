// Package control holds every business verb: authorise, validate, change, tell
// the traffic.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/share"
	"github.com/lateen-dev/lateen/internal/store"
)

// Traffic is told where hosts lead, after that is committed.
type Traffic interface {
	// Route makes each host lead to its deployment, or nowhere where that is
	// "", from the next request on.
	Route(hosts map[string]lateen.DeploymentID)
	// Refresh has the site of a deployment read anew, from the next request on.
	Refresh(d lateen.DeploymentID)
	// Forget drops what is held of a deployment that is gone.
	Forget(d lateen.DeploymentID)
	// Produce makes a deployment the one in production: its instances are the
	// ones that are kept at all times. What it is told last of a project counts,
	// until the deployment is forgotten.
	Produce(p lateen.ProjectID, d lateen.DeploymentID)
}

// Builder turns uploads into manifests.
type Builder interface {
	// Assemble reads the build output in src, whose content is kept, and
	// returns its manifest once that and all it names are durable. log gets
	// the lines of the build log. An error that is a [lateen.Error] is the
	// user's to mend.
	Assemble(ctx context.Context, src lateen.Source, log func(text string)) (lateen.Digest, *lateen.Manifest, error)
}

// Options of a [Control]. Fields without a stated zero are required.
type Options struct {
	Store     *store.Store
	Artifacts artifact.Store
	Trees     *artifact.Trees // swept of what no deployment names; nil: not swept
	Builder   Builder
	// Keep returns every digest that serving a manifest needs, itself too.
	Keep    func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error)
	Keeper  secret.Keeper
	Traffic Traffic

	Domain   string                   // of generated hosts; "" is localhost
	SiteURL  func(host string) string // URL that reaches a host; nil is http://<host>
	Region   string                   // VERCEL_REGION of functions; "" is local
	Team     string                   // slug of the first team; "" is team
	Workers  int                      // deployments of one team assembled at once, and half of those of all; 0 is 2
	MaxFile  int64                    // bytes of one uploaded file; 0 is 1 GiB
	MaxFiles int                      // files of one deployment; 0 is 100,000
	Grace    time.Duration            // how long what nobody names is kept, uploads among it; 0 is 24 hours
	// TeamBytes is how many bytes the content may have that a team brings, each
	// content once, as long as a deployment or upload names it; 0 is no bound.
	TeamBytes int64
	AuditAge  time.Duration // how long the rows of the audit log are kept; 0 is for ever
	Log       *slog.Logger
	Now       func() time.Time // nil is time.Now
}

// Control is the business of the platform. All methods may be called
// concurrently; each acts as [lateen.PrincipalFrom] its context.
type Control struct {
	Options

	wake    chan struct{} // a deployment may be waiting for a worker
	sweeper sync.RWMutex  // held for reading from finding artefacts until a row names them
	watch   watch
	quota   quota
	routing sync.Mutex // held from a change of hosts until the traffic is told

	produced map[lateen.ProjectID]lateen.DeploymentID // by the change under way; guarded by routing

	mu      sync.Mutex // guards below
	running map[lateen.DeploymentID]*assembly
	workers *share.Shares[string] // of assemblies, by team and project
	turn    uint64                // of the latest assembly
	served  map[string]uint64     // turn of the latest assembly of a team or project, while any are in progress
}

// New returns a control that assembles nothing until [Control.Run].
func New(o Options) (*Control, error) {
	if o.Store == nil || o.Artifacts == nil || o.Builder == nil || o.Keep == nil || o.Keeper == nil || o.Traffic == nil || o.Log == nil {
		return nil, errors.New("control: a required option is missing")
	}
	orElse(&o.Domain, "localhost")
	orElse(&o.Region, "local")
	orElse(&o.Team, "team")
	orElse(&o.Workers, 2)
	orElse(&o.MaxFile, 1<<30)
	orElse(&o.MaxFiles, 100_000)
	orElse(&o.Grace, 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SiteURL == nil {
		o.SiteURL = func(host string) string { return "http://" + host }
	}
	return &Control{
		Options:  o,
		wake:     make(chan struct{}, 1),
		running:  make(map[lateen.DeploymentID]*assembly),
		workers:  share.New[string](int64(2 * o.Workers)),
		served:   make(map[string]uint64),
		produced: make(map[lateen.ProjectID]lateen.DeploymentID),
		quota:    quota{used: make(map[lateen.TeamID]int64), coming: make(map[lateen.TeamID]int64)},
	}, nil
}

func orElse[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Run assembles queued deployments, those an earlier run left unfinished among
// them, and sweeps what nobody names. It returns once ctx has ended and no work
// is in progress.
func (c *Control) Run(ctx context.Context) error {
	if err := c.settleAll(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("settle deployments: %w", err)
	}
	var workers sync.WaitGroup
	for range 2 * c.Workers {
		workers.Go(func() { c.work(ctx) })
	}
	workers.Go(func() { c.sweepEvery(ctx, time.Hour) })
	workers.Wait()
	return nil
}

// reroute runs fn in a transaction and then tells the traffic the hosts that fn
// moved and the deployments it put into production, in the order of the
// transactions. fn may run more than once, each time with no host in moved.
func (c *Control) reroute(ctx context.Context, fn func(q *store.Queries, moved routes) error) error {
	c.routing.Lock()
	defer c.routing.Unlock()
	moved := make(routes)
	err := c.Store.Update(ctx, func(q *store.Queries) error {
		clear(moved)
		clear(c.produced)
		return fn(q, moved)
	})
	if err != nil {
		return err
	}
	if len(moved) > 0 {
		c.Traffic.Route(moved)
	}
	for project, d := range c.produced {
		c.Traffic.Produce(project, d)
	}
	return nil
}

func (c *Control) now() lateen.Millis { return lateen.MillisOf(c.Now()) }
