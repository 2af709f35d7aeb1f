package cli

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/lateen-dev/lateen/internal/address"
)

// newTransport returns the transport of calls to the platform. The names localhost and
// *.localhost are addresses of this machine, as in browsers and curl (RFC 6761): no
// resolver and no proxy is asked for them.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck,forcetypeassert // of the standard library
	proxy, dial := t.Proxy, t.DialContext
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if address.IsLocalhost(r.URL.Hostname()) {
			return nil, nil
		}
		return proxy(r)
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil || !address.IsLocalhost(host) {
			return dial(ctx, network, addr)
		}
		conn, err := dial(ctx, network, net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			if six, other := dial(ctx, network, net.JoinHostPort("::1", port)); other == nil {
				return six, nil
			}
		}
		return conn, err
	}
	return t
}
