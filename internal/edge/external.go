package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

// isOwn reports whether the host of an external rewrite's target belongs to this
// platform: to its domain or to x's team. Another team may have given its site any
// name, so for other names only DNS decides.
func (x *exchange) isOwn(target *url.URL) bool {
	e := x.edge
	switch target.Port() {
	case "", "80", "443", e.o.Port:
	default:
		return false // the port of another server on this machine
	}
	host := site.Hostname(target.Host)
	to, own := e.hosts.Get(host)
	if !own || strings.HasSuffix(host, "."+e.o.Domain) {
		return own
	}
	s, err := e.sites.Get(x.req.Context(), to.Deployment)
	return err == nil && s.Team == x.Site.Team
}

// serveExternal answers with the response of the origin at d.Target, streaming both
// bodies.
func (x *exchange) serveExternal(d *route.Decision) error {
	x.record.Kind = kindExternal
	req, own, err := x.originRequest(d)
	if err != nil {
		return err
	}
	origins := x.edge.origins
	if own {
		origins, req.URL.Scheme = x.edge.inside, "http"
	}
	resp, err := origins.RoundTrip(req) //nolint:bodyclose // relay closes it
	if err != nil {
		return x.blame(originFault(err))
	}
	header.DropNominated(resp.Header)
	x.record.Cache = "MISS"
	if d.IgnoreOriginCacheControl {
		delete(resp.Header, "Cache-Control")
		delete(resp.Header, "Cdn-Cache-Control")
	}
	return x.relay(resp)
}

// originRequest returns the client's request for d.Target. own reports whether that is
// a host of this platform.
func (x *exchange) originRequest(d *route.Decision) (_ *http.Request, own bool, err error) {
	target, err := url.Parse(d.Target)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, false, problem.ErrOrigin.With("the target of the external rewrite, %q, is not an http URL", d.Target)
	}
	if name := site.Hostname(target.Host); name == "api."+x.edge.o.Domain {
		return nil, false, problem.ErrOriginRefused.With("an external rewrite may not lead to the platform's API")
	}
	if via(x.req.Header) >= call.MaxHops {
		return nil, false, problem.ErrLoop
	}
	if err := x.body.admit(x.req.ContentLength); err != nil {
		return nil, false, err
	}
	target.User, target.Fragment = nil, ""
	req := x.outbound(target, d)
	req.Host = target.Host
	if req.ContentLength < 0 { // keeps net/http from probing the body, which would change the trailer while net/http reads it
		req.TransferEncoding = []string{"chunked"}
	}
	delete(req.Header, "X-Forwarded-For") // a route may have set it
	x.Forward(req.Header)
	req.Header["Via"] = append(req.Header["Via"], strings.TrimPrefix(x.req.Proto, "HTTP/")+" "+viaName)
	delete(req.Header, call.HopsHeader)
	if own = x.isOwn(target); own { // the hop count is for the platform only
		req.Header[call.HopsHeader] = x.edge.hops.Within(x.Hops, x.Fill)
	}
	return req.WithContext(x.req.Context()), own, nil
}

// viaName is the platform's name in Via fields.
const viaName = "lateen"

// via returns how many external rewrites of a platform a request has come through,
// by its Via fields (RFC 9110 §7.6.3). It ends loops through hosts that the platform
// does not know as its own. A client that forges the fields only gets its own request
// refused, because responses to external rewrites are not cached.
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

// originFault returns the error of a failed origin: refused, timed out or broken.
func originFault(err error) error {
	if refused, ok := errors.AsType[*lateen.Error](err); ok {
		return refused
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return problem.ErrOriginTimeout.Because(err)
	}
	return problem.ErrOrigin.Because(fmt.Errorf("external rewrite: %w", err))
}
