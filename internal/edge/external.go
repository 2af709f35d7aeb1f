package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/route"
)

// newOrigins returns the client of external rewrites. It follows no proxy
// settings and connects to no address that origins may not have.
func newOrigins(o Options) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	dialer.Control = func(_, dialled string, _ syscall.RawConn) error {
		return checkOrigin(dialled, o.OriginAllow)
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
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

// checkOrigin refuses the address of a connection about to be made unless it is
// public or within allow. It is asked after the name was resolved, so that no
// name can be made to mean something else than what was checked.
func checkOrigin(dialled string, allow []netip.Prefix) error {
	peer, err := netip.ParseAddrPort(dialled)
	if err != nil {
		return errOriginRefused.Because(err)
	}
	if address.Permitted(peer.Addr(), allow) {
		return nil
	}
	return errOriginRefused.With("an external rewrite may not connect to %s", address.Canonical(peer.Addr()))
}

// serveExternal answers with what the origin at d.Target answers, streaming both ways.
func (e *Edge) serveExternal(x *exchange, d *route.Decision) {
	x.record.Kind = kindExternal
	req, err := x.originRequest(d)
	if err != nil {
		x.fail(err)
		return
	}
	resp, err := e.origins.RoundTrip(req) //nolint:bodyclose // relay closes it
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

// originRequest is the client's request on its way to d.Target.
func (x *exchange) originRequest(d *route.Decision) (*http.Request, error) {
	target, err := url.Parse(d.Target)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errOrigin.With("the external rewrite leads to %q, which is no URL of http", d.Target)
	}
	if err := x.admitBody(); err != nil {
		return nil, err
	}
	target.User, target.Fragment = nil, ""
	req := x.outbound(target, d)
	req.Host = target.Host
	x.forwardedHeader(req.Header)
	req.Header["Via"] = append(req.Header["Via"], strings.TrimPrefix(x.req.Proto, "HTTP/")+" lateen")
	req.Header[hopsHeader] = x.edge.hops.after(x.hops)
	return req.WithContext(x.req.Context()), nil
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
