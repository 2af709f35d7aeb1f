package edge

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/server"
)

// client is the sender of a request and the host and scheme of its URL. Values
// from request fields are included only if a trusted proxy set them.
type client struct {
	addr     netip.Addr // the client's address; the zero Addr if unknown
	ip       string     // addr in text; "" if unknown
	proto    string     // http or https
	host     string     // the host as sent, with its port
	hostname string     // the host in the form of the host table
	internal bool       // whether a function sent the request, also through a proxy, or another site's rewrite passed it on for the client
}

// clientOf returns the client of r: the peer of the connection or, if that is a
// trusted proxy, the client that the proxy names.
func (e *Edge) clientOf(r *http.Request) client {
	c := client{proto: "http", host: r.Host}
	if r.TLS != nil {
		c.proto = "https"
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.addr = address.Canonical(peer.Addr())
		switch c.internal = address.Functions.Contains(c.addr); {
		case c.internal:
			c.proto = e.o.Scheme
			if server.ConnectionOf(r.Context()).Inside() {
				c.addr = rewritten(c.addr, r.Header)
			}
		case e.trusts(c.addr):
			e.trustForwarded(&c, r.Header)
		}
		c.internal = c.internal || address.Functions.Contains(c.addr) // a function behind a proxy
		c.ip = c.addr.String()
	}
	c.hostname = hostname(c.host)
	return c
}

// rewritten returns the client of a request that an external rewrite of this platform
// passed on: the address in its X-Forwarded-For, see [exchange.forwardedHeader].
func rewritten(from netip.Addr, h http.Header) netip.Addr {
	if addr, err := netip.ParseAddr(h.Get("X-Forwarded-For")); err == nil {
		return addr
	}
	return from
}

func (e *Edge) trusts(ip netip.Addr) bool {
	ip = address.Canonical(ip)
	return !address.Functions.Contains(ip) && slices.ContainsFunc(e.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// trustForwarded replaces the address, scheme and host of c with those that trusted
// proxies forwarded.
func (e *Edge) trustForwarded(c *client, h http.Header) {
	c.addr = address.Forwarded(c.addr, h["X-Forwarded-For"], e.trusts)
	if proto := strings.ToLower(lastOf(h, "X-Forwarded-Proto")); proto == "http" || proto == "https" {
		c.proto = proto
	}
	if host := lastOf(h, "X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, " /\\@?#\t") {
		c.host = host
	}
}

// network returns the address that identifies the client: an IPv4 address or, of an
// IPv6 address, its /64 network. The address of a function identifies one sandbox, of
// any tenant. "" stands for an unknown client.
func (c *client) network() string {
	switch {
	case !c.addr.IsValid():
		return ""
	case c.addr.Is6():
		network, _ := c.addr.Prefix(64) // no error: an IPv6 address has 128 bits
		return network.Addr().String()
	}
	return c.ip
}

// lastOf returns the last element of the list field name.
func lastOf(h http.Header, name string) string {
	v := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// port returns the port that the client connected to: the one in its Host field,
// else the default port of its scheme.
func (c *client) port() string {
	if strings.Contains(c.host, ":") {
		if _, port, err := net.SplitHostPort(c.host); err == nil && port != "" {
			return port
		}
	}
	if c.proto == "https" {
		return "443"
	}
	return "80"
}
