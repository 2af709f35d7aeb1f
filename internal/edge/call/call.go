// Package call calls the functions of sites.
package call

import (
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

// Call is the part of a request on which calls of functions depend. It does not change
// once the site is known; work that outlives the request uses a copy.
type Call struct {
	ID     lateen.RequestID
	Region string     // first part of x-vercel-id
	Site   *site.Site // the site of the host; nil before it is known
	Client Client
	Trace  Trace
	Hops   int    // hop count of the request
	Fill   string // ID of the cache fill that sent the request; "" if none did
}

// Output is an output of a site that has a function.
type Output struct {
	Name        string // in the manifest's Outputs
	MatchedPath string // value of X-Matched-Path
}

// OutputOf returns the output of a routing decision.
func OutputOf(d *route.Decision) Output { return Output{d.Output, d.MatchedPath} }

// RouteRequest returns the request in the form that routing reads.
func (k *Call) RouteRequest(req *http.Request) *route.Request {
	return &route.Request{
		Method: req.Method, Scheme: k.Client.Proto, Host: k.Client.Host, Path: req.URL.EscapedPath(),
		RawQuery: req.URL.RawQuery, Header: req.Header, Platform: k.platformField, Env: k.Site.Env,
	}
}

// functionHeader sets on h the platform's fields about the request for a function.
func (k *Call) functionHeader(h http.Header, out Output) {
	v := k.Forward(h)
	if ip := k.Client.IP; ip != "" {
		one := v.Of(ip)
		h["X-Real-Ip"], h["X-Vercel-Forwarded-For"], h["X-Vercel-Proxied-For"] = one, one, one
	}
	h["X-Vercel-Deployment-Url"] = v.Of(k.Site.Host)
	h["X-Matched-Path"] = v.Of(out.MatchedPath)
	if _, kept := k.Site.Manifest.Prerenders[out.Name]; kept {
		h["X-Vercel-Isr"] = v.Of("1")
	}
}

// platformField returns the value of a field that only the platform sets, for the
// conditions of routes; "" for a field that clients may send.
func (k *Call) platformField(key string) string {
	if !header.PlatformOnly(key) {
		return ""
	}
	h := make(http.Header, 12)
	k.functionHeader(h, Output{})
	return h.Get(key)
}

// Forward sets on h the fields about the client and its request that functions
// and origins get. It returns memory for further values.
func (k *Call) Forward(h http.Header) header.Values {
	v := make(header.Values, 0, 12)
	c := &k.Client
	if c.IP != "" {
		h["X-Forwarded-For"] = v.Of(c.IP)
	}
	h["X-Forwarded-Host"] = v.Of(c.Host)
	h["X-Forwarded-Proto"] = v.Of(c.Proto)
	h["X-Forwarded-Port"] = v.Of(c.port())
	h["Forwarded"] = v.Of(address.Forwarding(c.IP, c.Host, c.Proto))
	h["X-Vercel-Id"] = v.Of(k.Region + "::" + k.Region + "::" + string(k.ID))
	h["Traceparent"] = v.Of(k.Trace.traceparent())
	return v
}
