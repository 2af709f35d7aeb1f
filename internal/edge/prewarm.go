package edge

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/site"
)

// prewarmer prewarms functions that are likely to be requested soon.
type prewarmer struct {
	start   func(spec lateen.FunctionSpec) // nil prewarms no function
	hosts   *site.HostTable
	sites   *site.Sites
	clients *call.Clients
	now     func() time.Time
}

// functions prewarms functions of s.
func (p *prewarmer) functions(s *site.Site, names []string) {
	for _, name := range names {
		if spec, ok := s.Specs[name]; ok && p.start != nil {
			p.start(spec)
		}
	}
}

// onHandshakes returns c with a hook that prewarms functions by the host name in
// a TLS handshake, which announces a request.
func (p *prewarmer) onHandshakes(c *tls.Config) *tls.Config {
	if c == nil || p.start == nil {
		return c
	}
	c = c.Clone()
	choose := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		p.onHandshake(hello)
		if choose != nil {
			return choose(hello)
		}
		return nil, nil //nolint:nilnil // crypto/tls then uses c
	}
	return c
}

// onHandshake prewarms the functions that the first request of a connection is likely to
// call. It does nothing for a site that is not in memory: a handshake loads no site.
func (p *prewarmer) onHandshake(hello *tls.ClientHelloInfo) {
	to, ok := p.hosts.Get(site.Hostname(hello.ServerName))
	if !ok || to.Redirect != "" {
		return
	}
	s, ok := p.sites.Loaded(to.Deployment)
	if !ok {
		return
	}
	var client netip.Addr
	if peer, ok := hello.Conn.RemoteAddr().(*net.TCPAddr); ok && !p.clients.Trusts(peer.AddrPort().Addr()) {
		client = peer.AddrPort().Addr().Unmap()
	}
	p.functions(s, s.Traffic.OnConnect(client, p.now()))
}
