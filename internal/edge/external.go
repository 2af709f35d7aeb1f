package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/server"
)

// newOrigins returns the client of external rewrites. It follows no proxy
// settings and connects by o.DialOrigin alone. It has no HTTP/2, of which an unread
// response buffers 4 MiB, on a connection that all sites share.
func newOrigins(o Options) *http.Transport {
	return &http.Transport{
		DialContext:            o.DialOrigin,
		DisableCompression:     true, // what the client accepts is between it and the origin
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  o.OriginTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        copyBuffer,
		ReadBufferSize:         copyBuffer,
	}
}

// newInside returns the client of external rewrites that lead to hosts of this platform:
// that of other origins, whose connections take no network.
func newInside(o Options, s *server.Server) http.RoundTripper {
	inside := newOrigins(o)
	inside.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }
	inside.MaxIdleConns, inside.MaxIdleConnsPerHost, inside.IdleConnTimeout = 256, 16, 30*time.Second
	inside.WriteBufferSize, inside.ReadBufferSize = 0, 0 // the default: these connections copy within memory
	return inside
}

// isOwn reports whether the host of an external rewrite's target is one of this platform:
// of its domain, or of x's team. Another team may have given its site any name, which
// the network alone tells whose it is.
func (x *exchange) isOwn(target *url.URL) bool {
	e := x.edge
	switch target.Port() {
	case "", "80", "443", e.o.Port:
	default:
		return false // of something else on this machine
	}
	host := hostname(target.Host)
	d, own := (*e.hosts.Load())[host]
	if !own || strings.HasSuffix(host, "."+e.o.Domain) {
		return own
	}
	s, err := e.sites.get(x.req.Context(), d)
	return err == nil && s.Team == x.site.Team
}

// serveExternal answers with what the origin at d.Target answers, streaming both ways.
func (e *Edge) serveExternal(x *exchange, d *route.Decision) {
	x.record.Kind = kindExternal
	req, own, err := x.originRequest(d)
	if err != nil {
		x.fail(err)
		return
	}
	origins := e.origins
	if own {
		origins, req.URL.Scheme = e.inside, "http"
	}
	resp, err := origins.RoundTrip(req) //nolint:bodyclose // relay closes it
	if err != nil {
		x.fail(x.blame(originFault(err)))
		return
	}
	dropNominated(resp.Header)
	x.record.Cache = "MISS"
	if d.IgnoreOriginCacheControl {
		delete(resp.Header, "Cache-Control")
		delete(resp.Header, "Cdn-Cache-Control")
	}
	x.relay(resp)
}

// originRequest is the client's request on its way to d.Target. own reports whether
// that is a host of this platform.
func (x *exchange) originRequest(d *route.Decision) (_ *http.Request, own bool, err error) {
	target, err := url.Parse(d.Target)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, false, errOrigin.With("the external rewrite leads to %q, which is no URL of http", d.Target)
	}
	if name := hostname(target.Host); name == "api."+x.edge.o.Domain {
		return nil, false, ErrOriginRefused.With("an external rewrite may not lead to the platform's API")
	}
	if via(x.req.Header) >= maxHops {
		return nil, false, errLoop
	}
	if err := x.admitBody(); err != nil {
		return nil, false, err
	}
	target.User, target.Fragment = nil, ""
	req := x.outbound(target, d)
	req.Host = target.Host
	if req.ContentLength < 0 { // else net/http tries to read the body while it lists the trailer fields, which that changes
		req.TransferEncoding = []string{"chunked"}
	}
	delete(req.Header, "X-Forwarded-For") // of a route's making
	x.forwardedHeader(req.Header)
	req.Header["Via"] = append(req.Header["Via"], strings.TrimPrefix(x.req.Proto, "HTTP/")+" "+viaName)
	delete(req.Header, hopsHeader)
	if own = x.isOwn(target); own { // the count is for the platform alone
		req.Header[hopsHeader] = x.edge.hops.within(x.hops, x.within)
	}
	return req.WithContext(x.req.Context()), own, nil
}

// viaName is the platform's name in Via fields.
const viaName = "lateen"

// via returns how often a request has come through external rewrites of a
// platform by what its Via says (RFC 9110 §7.6.3). It ends circles through hosts
// that the platform does not know as its own. A client that makes it up is
// refused itself, and nobody else: no response to an external rewrite is kept.
func via(h http.Header) (n int) {
	for _, list := range h["Via"] {
		for entry := range strings.SplitSeq(list, ",") {
			if fields := strings.Fields(entry); len(fields) > 1 && fields[1] == viaName {
				n++
			}
		}
	}
	return n
}

// originFault tells whether an origin was refused, late or broken.
func originFault(err error) error {
	if refused, ok := errors.AsType[*lateen.Error](err); ok {
		return refused
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return errOriginTimeout.Because(err)
	}
	return errOrigin.Because(fmt.Errorf("external rewrite: %w", err))
}
