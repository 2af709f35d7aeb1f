// Package edge is the HTTP front end of the platform: it accepts connections, finds
// the deployment of a request's host and answers each request with a static file, a
// cached page, a function, an origin or an error page.
package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/coding"
	"github.com/lateen-dev/lateen/internal/edge/prerender"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/server"
	"github.com/lateen-dev/lateen/internal/share"
)

// Recorder takes the record of every finished request. It never blocks.
type Recorder interface {
	Record(r lateen.Record)
}

// Options configures an edge: its components, listeners and limits.
type Options struct {
	Artifacts artifact.Reader // content of static files and fallbacks
	Source    site.Source
	Fleet     call.Invoker
	Records   Recorder     // receiver of the request log; nil drops it
	Lines     LogSink      // receiver of the platform's messages; nil drops them
	Cache     *cache.Cache // cached pages
	// Prewarm starts an instance of a function that is likely to be requested soon, if
	// the function has none, within a budget of its own. It never blocks. If nil, the
	// edge prewarms no function.
	Prewarm func(spec lateen.FunctionSpec)
	Log     *slog.Logger // the daemon's log; nil discards it

	// API answers requests for an IP literal, localhost and api.<Domain>. If nil, such
	// requests get an error page.
	API http.Handler
	// Domain is the parent domain of generated hosts; "" is localhost.
	Domain string
	// Port is the port in the public URLs of sites; "" is the scheme's default.
	// Functions make cached pages for this port, independent of the port in a request.
	Port string
	// Scheme is the scheme of the public URLs of sites; "" is http. Requests from
	// functions count as having this scheme, independent of their connection.
	Scheme string
	// FunctionCertificate returns the certificate of a host of the platform for
	// functions that call the host over TLS on a Plain listener. If nil, such TLS
	// connections are not accepted.
	FunctionCertificate func(host string) (*tls.Certificate, error)
	// Region is the first part of x-vercel-id; "" is dev1.
	Region string
	// TrustedProxies are the peers whose X-Forwarded-For, -Proto and -Host the edge
	// uses. If nil, it ignores these fields of all peers.
	TrustedProxies []netip.Prefix
	// DialOrigin connects to the origins of external rewrites. It returns
	// [problem.ErrOriginRefused] for an origin that sites may not reach, which it decides by
	// the resolved address. Its connections to the platform itself come from
	// [address.Functions]. If nil, every origin is refused.
	DialOrigin func(ctx context.Context, network, address string) (net.Conn, error)

	// Plain are listeners for HTTP/1.1 and for HTTP/2 without TLS, with prior
	// knowledge; Secure are for both over TLS. Run closes them.
	Plain, Secure []net.Listener
	// TLS configures the Secure listeners and must be able to find a certificate.
	TLS *tls.Config

	// MaxConnections bounds the open connections. A further connection takes the slot
	// of an idle one, or waits for a slot. 0 is 16384.
	MaxConnections int
	// MaxPerClient bounds the connections of one IPv4 address or IPv6 /64 network; the
	// edge closes further connections immediately. Trusted proxies have no bound. 0 is
	// 1024.
	MaxPerClient   int
	MaxHeaderBytes int   // maximum size of a request's header; 0 is 64 KiB
	MaxBody        int64 // maximum bytes of a request's body for a function or an origin; 0 is 100 MiB
	SmallFiles     int64 // memory for small static files, in bytes; 0 is 128 MiB
	SiteMemory     int64 // memory for compiled sites, in bytes; 0 is 512 MiB

	HeaderTimeout time.Duration // time limit for receiving a request's header; 0 is 10 seconds
	IdleTimeout   time.Duration // maximum time between two requests of a connection; 0 is 2 minutes
	// StallTimeout is the maximum time without progress while a client sends or
	// receives a body; 0 is 1 minute. The total time of a body has no limit.
	StallTimeout time.Duration
	// OriginTimeout is the time limit for the header of an origin's response; 0 is 2 minutes.
	OriginTimeout time.Duration
	// Grace is the time limit for requests in flight when Run ends and, on older
	// connections, during [Edge.Renew]; 0 is 30 seconds.
	Grace time.Duration
	// Pause replaces Grace when Run ends after Renew, while new connections wait for
	// another process to accept them; 0 is 10 seconds.
	Pause time.Duration
	// Linger is how long Renew leaves idle connections open, so that a client learns
	// from its next response that the connection ends; 0 is 2 seconds.
	Linger time.Duration

	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

// bodyMemory bounds, in bytes, the memory of buffered bodies: request bodies for
// middlewares, and responses of functions that do not stream. Teams share it, and
// the projects of a team share the team's part.
const bodyMemory = 512 << 20

// maxEncoders bounds the encoders in use; a slow client holds one.
const maxEncoders = 128

// Edge serves deployments. Use [New].
type Edge struct {
	o        Options
	server   *server.Server
	hosts    *site.HostTable
	sites    *site.Sites
	clients  call.Clients
	hops     call.Hops
	caller   *call.Caller
	pages    *prerender.Pages
	blobs    *blobs
	origins  http.RoundTripper
	inside   http.RoundTripper // client of this platform's own hosts
	codings  *coding.Codings
	encoders *share.Amount[string] // encoders in use, by team and project
	memory   *share.Amount[string] // memory of buffered bodies, by team and project
	prewarm  *prewarmer
	problems *problem.Pages // error pages
	failures *failures
}

// New returns an edge with an empty host table.
func New(o Options) *Edge {
	o.setDefaults()
	e := &Edge{
		o: o, hosts: site.NewHostTable(), sites: site.New(o.Source, o.SiteMemory),
		hops: call.NewHops(), clients: call.Clients{Scheme: o.Scheme, Trusted: o.TrustedProxies},
		blobs: newBlobs(o.Artifacts, o.SmallFiles), origins: newOrigins(o.DialOrigin, o.OriginTimeout),
		codings: coding.New(), encoders: share.NewAmount[string](maxEncoders), memory: share.NewAmount[string](bodyMemory),
		problems: problem.NewPages(), failures: newFailures(o.Log, o.Lines, o.Now),
	}
	e.prewarm = &prewarmer{start: o.Prewarm, hosts: e.hosts, sites: e.sites, clients: &e.clients, now: o.Now}
	e.caller = call.NewCaller(call.Options{Fleet: o.Fleet, Hops: e.hops, Cache: o.Cache, Log: o.Log})
	e.pages = prerender.New(prerender.Options{
		Cache: o.Cache, Artifacts: o.Artifacts, Functions: e.caller, Port: o.Port, Fault: e.failures.fault, Log: o.Log, Now: o.Now,
	})
	e.server = server.New(server.Options{
		Handler: e, Plain: o.Plain, Secure: o.Secure, TLS: e.prewarm.onHandshakes(o.TLS), FunctionTLS: functionTLS(e.hosts, o.FunctionCertificate),
		MaxConnections: o.MaxConnections, MaxPerClient: o.MaxPerClient, Unlimited: e.clients.Trusts, MaxHeaderBytes: o.MaxHeaderBytes,
		HeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout, StallTimeout: o.StallTimeout,
		Grace: o.Grace, Pause: o.Pause, Linger: o.Linger, Log: o.Log,
	})
	e.inside = newInside(e.server, o.OriginTimeout)
	return e
}

// Run serves the listeners until ctx ends. Then it accepts no further connections,
// drains the requests in flight for the grace period, cuts off the rest and returns.
// It closes the listeners. It may be called once.
func (e *Edge) Run(ctx context.Context) error { return e.server.Run(ctx) }

// Renew ends every open connection while the edge serves new ones: see
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
		o.DialOrigin = func(context.Context, string, string) (net.Conn, error) { return nil, problem.ErrOriginRefused }
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
