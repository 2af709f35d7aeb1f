// Package control implements the operations of the platform: each one authorizes the
// caller, validates the input, changes the store and publishes the events of its changes.
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

// Builder turns uploads into manifests.
type Builder interface {
	// Assemble reads the build output in src, whose content is already stored, and
	// returns its manifest once the manifest and all artifacts that it names are
	// durable. log gets the lines of the build log. An error of type [lateen.Error]
	// is caused by the user's input.
	Assemble(ctx context.Context, src lateen.Source, log func(text string)) (lateen.Digest, *lateen.Manifest, error)
}

// Options of a [Control]. Fields without a stated zero are required.
type Options struct {
	Store     *store.Store
	Artifacts artifact.Store
	Trees     *artifact.Trees // swept of trees that no deployment references; nil: not swept
	Builder   Builder
	// Keep returns the digests of all artifacts that serving a manifest needs, and
	// that of the manifest.
	Keep   func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error)
	Keeper secret.Keeper
	Events Events
	// Invalidated waits, within a limit, until the cache has applied the event with a
	// serial; nil: it does not wait.
	Invalidated func(ctx context.Context, serial int64)

	Domain   string                   // parent of generated hosts; "" is localhost
	SiteURL  func(host string) string // URL that reaches a host; nil is http://<host>
	Region   string                   // VERCEL_REGION of functions; "" is local
	Team     string                   // slug of the first team; "" is team
	Workers  int                      // concurrent assemblies of one team, and half of those of all teams; 0 is 2
	MaxFile  int64                    // bytes of one uploaded file; 0 is 1 GiB
	MaxFiles int                      // files of one deployment; 0 is 100,000
	Grace    time.Duration            // minimum age of unreferenced content, and of uploads, before a sweep; 0 is 24 hours
	// TeamBytes is the storage quota of a team: the bytes of the content that its
	// deployments and uploads reference, each content counted once; 0 is no limit.
	TeamBytes int64
	// Replica is the name of this process among those that assemble deployments of
	// the store, different for each start; "" if no other process does.
	Replica   string
	LeaseTime time.Duration     // time after which the lease of a process that has ended expires; 0 is 15 seconds
	AuditAge  time.Duration     // retention of audit log rows; 0 is unlimited
	UsageAge  time.Duration     // retention of usage; 0 is unlimited
	Spans     func(lateen.Span) // receives the parts of deployments, concurrently; nil: discarded
	Log       *slog.Logger
	Now       func() time.Time // nil is time.Now
	// Uptime returns the time since New, unaffected by changes of the host's clock.
	// nil computes it from Now.
	Uptime func() time.Duration
}

// Control implements the operations of the platform. All methods are safe for
// concurrent use; each acts as the principal of its context
// ([lateen.PrincipalFrom]).
type Control struct {
	Options

	began time.Time // wall-clock time

	wake    chan struct{} // a deployment may be waiting for a worker
	sweeper sync.RWMutex  // read-locked from finding artifacts until a row references them
	watch   watch
	quota   quota
	// publishing has an element from the begin of a transaction with events until their
	// delivery: such transactions would conflict in the store, since each takes the
	// next serials.
	publishing chan struct{}

	mu      sync.Mutex // guards the fields below
	running map[lateen.DeploymentID]*assembly
	leases  map[lateen.DeploymentID]observation // leases of other processes
	workers *share.Shares[string]               // shares of the assemblies, by team and project
	turn    uint64                              // number of the latest assembly
	served  map[string]uint64                   // turn of the latest assembly of a team or project; cleared when no assembly is in progress
}

// New returns a control that assembles nothing until [Control.Run].
func New(o Options) (*Control, error) {
	if o.Store == nil || o.Artifacts == nil || o.Builder == nil || o.Keep == nil || o.Keeper == nil || o.Events == nil || o.Log == nil {
		return nil, errors.New("control: a required option is missing")
	}
	orElse(&o.Domain, "localhost")
	orElse(&o.Region, "local")
	orElse(&o.Team, "team")
	orElse(&o.Workers, 2)
	orElse(&o.MaxFile, 1<<30)
	orElse(&o.MaxFiles, 100_000)
	orElse(&o.Grace, 24*time.Hour)
	orElse(&o.LeaseTime, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SiteURL == nil {
		o.SiteURL = func(host string) string { return "http://" + host }
	}
	began := o.Now()
	if o.Uptime == nil {
		o.Uptime = func() time.Duration { return o.Now().Sub(began) }
	}
	c := &Control{
		Options:    o,
		began:      began.Round(0), // strip the monotonic reading
		wake:       make(chan struct{}, 1),
		running:    make(map[lateen.DeploymentID]*assembly),
		publishing: make(chan struct{}, 1),
		leases:     make(map[lateen.DeploymentID]observation),
		workers:    share.New[string](int64(2 * o.Workers)),
		served:     make(map[string]uint64),
		quota:      quota{used: make(map[lateen.TeamID]int64), coming: make(map[lateen.TeamID]int64)},
	}
	o.Events.Subscribe(c.apply)
	return c, nil
}

func orElse[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Run assembles queued and interrupted deployments and sweeps unreferenced content.
// It returns when ctx has ended and no work is in progress.
func (c *Control) Run(ctx context.Context) error {
	unsettled, err := c.listUnsettled(ctx) // before a worker adds some
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("list deployments to finalize: %w", err)
	}
	var workers sync.WaitGroup
	workers.Go(func() {
		for _, id := range unsettled {
			c.settle(ctx, id)
		}
	})
	for range 2 * c.Workers {
		workers.Go(func() { c.work(ctx) })
	}
	workers.Go(func() { c.sweepEvery(ctx, time.Hour) })
	workers.Wait()
	return nil
}

func (c *Control) now() lateen.Millis { return lateen.MillisOf(c.Now()) }
