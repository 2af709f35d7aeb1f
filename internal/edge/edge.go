// Package edge is the front of the platform: it accepts connections, finds the
// deployment a host stands for and answers each request with a static file, a
// kept page, a function, an origin or an error page.
package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/server"
	"github.com/lateen-dev/lateen/internal/share"
)

// SiteSource knows deployments. Site returns [lateen.ErrDeploymentNotFound] for
// one that is gone.
type SiteSource interface {
	Site(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)
}

// Invoker runs functions. Invoke sends req to an instance of spec and returns
// its response as soon as the header is there, with a body that streams and
// that the caller closes; a switch of protocols has status 101 and a body that is an
// [io.ReadWriteCloser]. It tells in inv where the time went.
type Invoker interface {
	Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error)
}

// Recorder takes the record of every finished request. It never blocks.
type Recorder interface {
	Record(r lateen.Record)
}

// Lines takes what the platform says of the requests of a site, for the log of the
// site; it must not block.
type Lines interface {
	Log(line lateen.LogLine)
}

// Options says what an edge serves, and how much.
type Options struct {
	Artifacts artifact.Store // content of static files and fallbacks
	Source    SiteSource
	Fleet     Invoker
	Records   Recorder     // nil drops them
	Lines     Lines        // nil drops them
	Cache     *cache.Cache // kept pages
	// Prewarm starts an instance of a function that is likely to be asked for
	// soon, if it has none, within a budget of its own. It never blocks. nil:
	// nothing is started before it is asked for.
	Prewarm func(spec lateen.FunctionSpec)
	Log     *slog.Logger // nil discards

	// API answers requests for an IP literal, localhost and api.<Domain>; nil
	// is an error page.
	API http.Handler
	// Domain is the one under which the platform makes up hosts; "" is localhost.
	Domain string
	// Port is in the URLs of sites as clients write them; "" is the scheme's own.
	// Kept pages are made for it, whatever port a request names.
	Port string
	// Scheme is that of the URLs of sites as clients write them; "" is http. Requests of
	// functions are taken for such, whichever they come by.
	Scheme string
	// FunctionCertificate returns the certificate that functions get for a host of the
	// platform which they call over TLS by a Plain listener. nil: they get none.
	FunctionCertificate func(host string) (*tls.Certificate, error)
	// Region is the first part of x-vercel-id; "" is dev1.
	Region string
	// TrustedProxies are the peers whose X-Forwarded-For, -Proto and -Host are
	// believed. nil: nobody's are.
	TrustedProxies []netip.Prefix
	// DialOrigin connects to the origins of external rewrites, and to none that
	// sites may not reach: the error is [ErrOriginRefused] then. It judges addresses
	// once a name was resolved, and connections to the platform itself come from
	// [address.Functions]. nil: no origin may be reached.
	DialOrigin func(ctx context.Context, network, address string) (net.Conn, error)

	// Plain are listeners for HTTP/1.1 and for HTTP/2 without TLS, with prior
	// knowledge; Secure are for both over TLS. Run closes them.
	Plain, Secure []net.Listener
	// TLS configures the Secure listeners and must be able to find a certificate, as
	// [Certificate] does.
	TLS *tls.Config

	MaxConnections int // open at once; a further one takes the place of one without a request, or waits. 0 is 16384
	// MaxPerClient bounds the connections of one address, or network of 64 bits;
	// further ones are closed at once. Trusted proxies may have any number. 0 is 1024.
	MaxPerClient   int
	MaxHeaderBytes int   // of a request's header; 0 is 64 KiB
	MaxBody        int64 // bytes of a request's body to a function or an origin; 0 is 100 MiB
	SmallFiles     int64 // bytes of small static files in memory together; 0 is 128 MiB
	SiteMemory     int64 // bytes of compiled sites in memory together; 0 is 512 MiB

	HeaderTimeout time.Duration // to receive a request's header; 0 is 10 seconds
	IdleTimeout   time.Duration // of a connection between requests; 0 is 2 minutes
	// StallTimeout is how long a client may neither send nor take any of a body
	// that is under way; 0 is 1 minute. A body that moves takes as long as it takes.
	StallTimeout time.Duration
	// OriginTimeout is how long an origin has for the header of its response; 0 is 2 minutes.
	OriginTimeout time.Duration
	// Grace is how long Run lets requests in flight go on when it has to end, and
	// [Edge.Renew] those of connections that were there before; 0 is 30 seconds.
	Grace time.Duration
	// Pause is Run's grace after Renew, while new connections wait for another
	// process to accept them; 0 is 10 seconds.
	Pause time.Duration
	// Linger is how long Renew leaves connections open that are idle, for their clients
	// to find another with their next request; 0 is 2 seconds.
	Linger time.Duration

	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

// Edge serves deployments. Use [New].
type Edge struct {
	o        Options
	sites    *sites
	blobs    *blobs
	origins  http.RoundTripper
	inside   http.RoundTripper // of this platform's own hosts
	codings  *codings
	page     *template.Template // of errors
	hops     hops
	failures share.Lines[lateen.ProjectID]
	memory   *share.Amount[string] // for bodies that are held whole, by team and project
	server   *server.Server

	hosts atomic.Pointer[map[string]lateen.DeploymentID] // replaced, never changed
	mu    sync.Mutex                                     // held to replace hosts
}

// New returns an edge that knows no host.
func New(o Options) *Edge {
	o.setDefaults()
	e := &Edge{
		o: o, sites: newSites(o.Source, o.SiteMemory), blobs: newBlobs(o.Artifacts, o.SmallFiles), origins: newOrigins(o), codings: newCodings(), hops: newHops(),
		page: template.Must(template.New("error").Parse(errorPageHTML)), memory: share.NewAmount[string](heldBodies),
		failures: share.Lines[lateen.ProjectID]{Most: maxFailures, Window: failureWindow},
	}
	e.server = server.New(server.Options{
		Handler: e, Plain: o.Plain, Secure: o.Secure, TLS: e.greeting(o.TLS), FunctionTLS: e.functionTLS(),
		MaxConnections: o.MaxConnections, MaxPerClient: o.MaxPerClient, Unlimited: e.trusts, MaxHeaderBytes: o.MaxHeaderBytes,
		HeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout, StallTimeout: o.StallTimeout,
		Grace: o.Grace, Pause: o.Pause, Linger: o.Linger, Log: o.Log,
	})
	e.inside = newInside(o, e.server)
	e.hosts.Store(&map[string]lateen.DeploymentID{})
	return e
}

// Run serves the listeners until ctx ends; then it accepts nothing more, lets
// requests in flight finish for the grace period, and returns when none is left.
// It closes the listeners. It may be called once.
func (e *Edge) Run(ctx context.Context) error { return e.server.Run(ctx) }

// Renew ends every connection that there is while new ones are served: see
// [server.Server.Renew].
func (e *Edge) Renew(ctx context.Context) { e.server.Renew(ctx) }

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.DialOrigin == nil {
		o.DialOrigin = func(context.Context, string, string) (net.Conn, error) { return nil, ErrOriginRefused }
	}
	o.Domain = cmp.Or(o.Domain, "localhost")
	o.Scheme = cmp.Or(o.Scheme, "http")
	o.Region = cmp.Or(o.Region, "dev1")
	o.MaxConnections = cmp.Or(o.MaxConnections, 16384)
	o.MaxPerClient = cmp.Or(o.MaxPerClient, 1024)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 64<<10)
	o.MaxBody = cmp.Or(o.MaxBody, 100<<20)
	o.SmallFiles = cmp.Or(o.SmallFiles, 128<<20)
	o.SiteMemory = cmp.Or(o.SiteMemory, 512<<20)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 2*time.Minute)
	o.StallTimeout = cmp.Or(o.StallTimeout, time.Minute)
	o.OriginTimeout = cmp.Or(o.OriginTimeout, 2*time.Minute)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Pause = cmp.Or(o.Pause, 10*time.Second)
	o.Linger = cmp.Or(o.Linger, 2*time.Second)
}
