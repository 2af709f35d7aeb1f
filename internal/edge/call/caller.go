package call

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/edge/site"
)

// Invoker runs functions. Invoke sends req to an instance of spec and returns the
// response as soon as its header has arrived, with a streaming body that the caller
// closes. A response that switches protocols has status 101 and a body that is an
// [io.ReadWriteCloser]. Invoke fills in inv with the timings of the call.
type Invoker interface {
	Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error)
}

// Options configures a caller.
type Options struct {
	Fleet Invoker
	Hops  Hops
	Cache *cache.Cache // gets the invalidations of functions; nil drops them
	Log   *slog.Logger
}

// Caller calls functions. Use [NewCaller].
type Caller struct {
	fleet         Invoker
	hops          Hops
	invalidations invalidations
}

// NewCaller returns a caller.
func NewCaller(o Options) *Caller {
	return &Caller{fleet: o.Fleet, hops: o.Hops, invalidations: invalidations{o.Cache, o.Log}}
}

// Call invokes the function of out with req on behalf of k, and fills in inv with the
// course of the call. It takes over the header of req and adds the platform's fields
// about the request. The caller closes the response's body.
func (c *Caller) Call(ctx context.Context, k *Call, out Output, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	name, ok := k.Site.Manifest.Outputs[out.Name]
	spec, known := k.Site.Specs[name]
	if !ok || !known {
		return nil, fmt.Errorf("output %s has no function: %w", out.Name, lateen.ErrInternal)
	}
	inv.Function = name
	req.Host = k.Client.Host
	k.functionHeader(req.Header, out)
	req.Header[header.Invocation] = []string{string(k.ID)}
	c.invalidations.setHeader(req.Header, k.Site)
	req.Header[hopsForAgent] = c.hops.Within(k.Hops, k.Fill)
	if lateen.RequestIDFrom(ctx) != k.ID { // ctx is not that of the request
		ctx = lateen.WithRequestID(ctx, k.ID)
	}
	if address := k.Client.Network(); address != "" {
		ctx = lateen.WithClient(ctx, address)
	}
	resp, err := c.fleet.Invoke(ctx, spec, req.WithContext(ctx), inv)
	switch {
	case err == nil:
		header.DropNominated(resp.Header)
		c.invalidations.receive(k.Site, resp.Header)
	case spec.Function.Edge():
		return nil, problem.OfEdge(err)
	}
	return resp, err
}

// Invalidate makes the cached pages of s that have one of tags stale, and expired after
// grace: immediately if grace is 0, never if it is negative. It logs a failure, which is
// the platform's own; the invalidation then applies until a restart only.
func (c *Caller) Invalidate(s *site.Site, tags []string, grace time.Duration) {
	c.invalidations.apply(s, "", tags, grace)
}

// PathURL returns the URL of an escaped path and a raw query, with their spelling
// unchanged.
func PathURL(path, query string) *url.URL {
	u := &url.URL{RawPath: path, RawQuery: query}
	var err error
	if u.Path, err = url.PathUnescape(path); err != nil {
		u.Path, u.RawPath = path, ""
	}
	return u
}
