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

// client is who sent a request and what it asked for, as far as it can be believed.
type client struct {
	addr     netip.Addr // the zero one if unknown
	ip       string     // the same in text; "" if unknown
	proto    string     // http or https
	host     string     // as sent, with its port
	hostname string     // as in the host table
	internal bool       // it is a function, also by way of a proxy, or a rewrite of another site on behalf of the client
}

// clientOf returns the client of r: the peer, unless that is a trusted proxy,
// which speaks for another.
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
			e.believe(&c, r.Header)
		}
		c.internal = c.internal || address.Functions.Contains(c.addr) // as a proxy says
		c.ip = c.addr.String()
	}
	c.hostname = hostname(c.host)
	return c
}

// rewritten is the client of a request that a rewrite of this platform passes on, which
// says so: see [exchange.forwardedHeader].
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

// believe takes over what trusted proxies say of the client.
func (e *Edge) believe(c *client, h http.Header) {
	c.addr = address.Forwarded(c.addr, h["X-Forwarded-For"], e.trusts)
	if proto := strings.ToLower(lastOf(h, "X-Forwarded-Proto")); proto == "http" || proto == "https" {
		c.proto = proto
	}
	if host := lastOf(h, "X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, " /\\@?#\t") {
		c.host = host
	}
}

// network is the address that the client shares with no other one: of IPv6, that of its
// network of 64 bits. That of a function is of one sandbox, whose tenant may be any. "" is
// a client that is not known.
func (c *client) network() string {
	switch {
	case !c.addr.IsValid():
		return ""
	case c.addr.Is6():
		network, _ := c.addr.Prefix(64) // which is within an address of 128 bits
		return network.Addr().String()
	}
	return c.ip
}

// lastOf returns the last element of a header that is a list.
func lastOf(h http.Header, name string) string {
	v := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// port is the port the client connected to, by its host header or protocol.
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
