package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// hopsHeader counts how often a request has left the platform for an origin;
// one that comes back maxHops times runs in a circle.
const (
	hopsHeader = "X-Lateen-Hops"
	maxHops    = 8
)

// newOrigins returns the client of external rewrites. It follows no proxy
// settings and connects to no address that origins may not have.
func newOrigins(o Options) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		return checkOrigin(address, o.OriginAllow)
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
func checkOrigin(address string, allow []netip.Prefix) error {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return errOriginRefused.Because(err)
	}
	ip := peer.Addr().WithZone("").Unmap()
	if public(ip) || slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	return errOriginRefused.With("an external rewrite may not connect to %s", ip)
}

// special are the networks that are not of the public Internet (RFC 6890 and
// later), and addresses at which clouds answer their own machines.
var special = []netip.Prefix{ //nolint:gochecknoglobals // a constant in all but name
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("ff00::/8"),
}

// public reports whether ip is an address of the public Internet. One that
// carries an IPv4 address within is as public as that.
func public(ip netip.Addr) bool {
	if inner, ok := embedded(ip); ok {
		return public(inner)
	}
	return ip.IsValid() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// embedded returns the IPv4 address that a NAT64 or 6to4 address stands for.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case strings.HasPrefix(ip.StringExpanded(), "0064:ff9b:0000:0000:0000:0000:"):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	default:
		return netip.Addr{}, false
	}
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
	if x.hops >= maxHops {
		return nil, errLoop
	}
	req.Header[hopsHeader] = []string{strconv.Itoa(x.hops + 1)}
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
