package call

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/server"
)

// Client is the sender of a request and the host and scheme of its URL. Values
// from request fields are included only if a trusted proxy set them.
type Client struct {
	Addr     netip.Addr // the client's address; the zero Addr if unknown
	IP       string     // Addr in text; "" if unknown
	Proto    string     // http or https
	Host     string     // the host as sent, with its port
	Hostname string     // the host in the form of the host table
	Internal bool       // whether a function sent the request, also through a proxy, or another site's rewrite passed it on for the client
}

// Clients identifies the clients of requests.
type Clients struct {
	// Scheme is the scheme of requests from functions, independent of their connection.
	Scheme string
	// Trusted are the peers whose X-Forwarded-For, -Proto and -Host count.
	Trusted []netip.Prefix
}

// Of returns the client of r: the peer of the connection or, if that is a
// trusted proxy, the client that the proxy names.
func (k *Clients) Of(r *http.Request) Client {
	c := Client{Proto: "http", Host: r.Host}
	if r.TLS != nil {
		c.Proto = "https"
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Addr = address.Canonical(peer.Addr())
		switch c.Internal = address.Functions.Contains(c.Addr); {
		case c.Internal:
			c.Proto = k.Scheme
			if server.ConnectionOf(r.Context()).Inside() {
				c.Addr = rewritten(c.Addr, r.Header)
			}
		case k.Trusts(c.Addr):
			k.trustForwarded(&c, r.Header)
		}
		c.Internal = c.Internal || address.Functions.Contains(c.Addr) // a function behind a proxy
		c.IP = c.Addr.String()
	}
	c.Hostname = site.Hostname(c.Host)
	return c
}

// rewritten returns the client of a request that an external rewrite of this platform
// passed on: the address in its X-Forwarded-For, see [Call.Forward].
func rewritten(from netip.Addr, h http.Header) netip.Addr {
	if addr, err := netip.ParseAddr(h.Get("X-Forwarded-For")); err == nil {
		return addr
	}
	return from
}

// Trusts reports whether ip is a trusted proxy.
func (k *Clients) Trusts(ip netip.Addr) bool {
	ip = address.Canonical(ip)
	return !address.Functions.Contains(ip) && slices.ContainsFunc(k.Trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// trustForwarded replaces the address, scheme and host of c with those that trusted
// proxies forwarded.
func (k *Clients) trustForwarded(c *Client, h http.Header) {
	c.Addr = address.Forwarded(c.Addr, h["X-Forwarded-For"], k.Trusts)
	if proto := strings.ToLower(lastOf(h, "X-Forwarded-Proto")); proto == "http" || proto == "https" {
		c.Proto = proto
	}
	if host := lastOf(h, "X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, " /\\@?#\t") {
		c.Host = host
	}
}

// Network returns the address that identifies the client: an IPv4 address or, of an
// IPv6 address, its /64 network. The address of a function identifies one sandbox, of
// any tenant. "" stands for an unknown client.
func (c *Client) Network() string {
	switch {
	case !c.Addr.IsValid():
		return ""
	case c.Addr.Is6():
		network, _ := c.Addr.Prefix(64) // no error: an IPv6 address has 128 bits
		return network.Addr().String()
	}
	return c.IP
}

// lastOf returns the last element of the list field name.
func lastOf(h http.Header, name string) string {
	v := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// port returns the port that the client connected to: the one in its Host field,
// else the default port of its scheme.
func (c *Client) port() string {
	if strings.Contains(c.Host, ":") {
		if _, port, err := net.SplitHostPort(c.Host); err == nil && port != "" {
			return port
		}
	}
	if c.Proto == "https" {
		return "443"
	}
	return "80"
}
