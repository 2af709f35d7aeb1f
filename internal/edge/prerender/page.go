// Package prerender serves prerendered pages: from the cache, from the build, or as
// their function makes them. It decides when a page is refreshed, and by which parts of
// a request its versions differ.
package prerender

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

// Functions calls the functions of sites and notifies the cache of invalidations of user
// code, as [call.Caller] does.
type Functions interface {
	Call(ctx context.Context, k *call.Call, out call.Output, req *http.Request, inv *lateen.Invocation) (*http.Response, error)
	Invalidate(s *site.Site, tags []string, grace time.Duration)
}

// Options configures [Pages].
type Options struct {
	Cache     *cache.Cache
	Artifacts artifact.Reader // content of the pages of builds
	Functions Functions
	Port      string                        // port in the public URLs of sites, for which pages are made
	Fault     func(k *call.Call, err error) // writes a fault of a site into its log
	Log       *slog.Logger                  // the daemon's log
	Now       func() time.Time
}

// Pages serves prerendered pages. Use [New].
type Pages struct{ o Options }

// New returns the pages of a cache.
func New(o Options) *Pages { return &Pages{o} }

// Response is the response to a request. One of its methods is called, once, except that
// Gather may be called before.
type Response interface {
	// Respond answers with a page. It closes body if that is an [io.Closer].
	Respond(status int, h http.Header, body io.Reader)
	// Relay answers with the response of a function.
	Relay(resp *http.Response) error
	// Output answers with the output of another decision.
	Output(d *route.Decision) error
	// Gather reads r to its end within the memory for bodies.
	Gather(r io.Reader) ([]byte, error)
}

// Request is a request for a prerendered page.
type Request struct {
	*call.Call

	HTTP     *http.Request
	Decision *route.Decision
	Page     *lateen.Prerender // the prerender of Decision.Output
	Whole    bool              // whether this is an error page, which answers any method and is complete
	Record   *lateen.Record    // gets the state of the cache and the invocation
	Response Response
}

// request is a request in progress.
type request struct {
	Request

	pages   *Pages
	variant variant
	key     cache.Key
	group   string
	now     time.Time
	// seen is the creation time of the entry in the cache; see [cache.Fill].
	seen time.Time
	// run is set if the page has a function that can refresh it.
	run bool
}

func (p *Pages) newRequest(in Request) *request {
	d := in.Decision
	_, run := in.Site.Specs[in.Site.Manifest.Outputs[d.Output]]
	v := variantOf(in.Call, d, in.Page)
	return &request{
		Request: in, pages: p, variant: v, key: v.key(in.Site, d.Output),
		group: v.group(in.Page.Group, d.Output), now: p.o.Now(), run: run,
	}
}
