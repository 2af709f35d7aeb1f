package edge

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
)

// prewarm starts functions of s that are likely to be asked for soon.
func (e *Edge) prewarm(s *site, functions []string) {
	for _, name := range functions {
		if spec, ok := s.specs[name]; ok && e.o.Prewarm != nil {
			e.o.Prewarm(spec)
		}
	}
}

// greeting is c, made to take the name of the host in a TLS handshake for the
// announcement of a request.
func (e *Edge) greeting(c *tls.Config) *tls.Config {
	if c == nil || e.o.Prewarm == nil {
		return c
	}
	c = c.Clone()
	choose := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		e.greeted(hello)
		if choose != nil {
			return choose(hello)
		}
		return nil, nil //nolint:nilnil // which is to go on with c
	}
	return c
}

// greeted prewarms what the first request of a connection is likely for. A site
// that nobody asked for lately is left alone: a handshake loads nothing.
func (e *Edge) greeted(hello *tls.ClientHelloInfo) {
	d, ok := (*e.hosts.Load())[hostname(hello.ServerName)]
	if !ok {
		return
	}
	s, ok := e.sites.loaded.Get(d)
	if !ok {
		return
	}
	var client netip.Addr
	if peer, ok := hello.Conn.RemoteAddr().(*net.TCPAddr); ok && !e.trusts(peer.AddrPort().Addr()) {
		client = peer.AddrPort().Addr().Unmap()
	}
	e.prewarm(s, s.habits.Connect(client, e.o.Now()))
}

// arriving prewarms what is likely to answer the request once its middleware
// has let it pass.
func (x *exchange) arriving() {
	x.edge.prewarm(x.site, x.site.habits.Arrive(x.req.URL.Path, x.edge.o.Now()))
}

// learn learns from a response that is on its way which functions are called
// when, and prewarms those that a page is likely to call next.
func (x *exchange) learn(status int, h http.Header) {
	if x.edge.o.Prewarm == nil || x.site == nil {
		return
	}
	function, before := functionOf(x.record.Invocation), functionOf(x.record.Middleware)
	habits, now, from := x.site.habits, x.edge.o.Now(), x.client.addr
	if x.first {
		habits.First(now, before, function)
	}
	if before != "" {
		habits.Answered(x.req.URL.Path, function, now)
	}
	if function != "" {
		habits.Call(function, x.referrer(), from, now)
	}
	if x.record.Output == "" || !x.isPage(status, h) {
		return
	}
	next := habits.Page(x.record.Output, x.req.URL.Path, from, now)
	next = slices.DeleteFunc(next, func(name string) bool { return name == function }) // which is running
	if len(next) > 0 && !accept.IsCrawler(x.req.UserAgent()) {
		x.edge.prewarm(x.site, next)
	}
}

func functionOf(inv *lateen.Invocation) string {
	if inv == nil {
		return ""
	}
	return inv.Function
}

// isPage reports whether the response is a page that a visitor went to, as far
// as the browser says so. One that the browser has already is one, too.
func (x *exchange) isPage(status int, h http.Header) bool {
	if x.req.Method != http.MethodGet {
		return false
	}
	switch use := x.req.Header["Sec-Fetch-Dest"]; {
	case len(use) == 1 && use[0] == "document" && status == http.StatusNotModified:
		return true
	case len(use) == 1 && use[0] != "document", status != http.StatusOK:
		return false
	}
	kind := h["Content-Type"]
	return len(kind) == 1 && len(kind[0]) >= len("text/html") && strings.EqualFold(kind[0][:len("text/html")], "text/html")
}

// referrer is the path of the page that the request was made from; "" is
// unknown, "*" is another site's.
func (x *exchange) referrer() string {
	if len(x.record.Referer) == 0 {
		return ""
	}
	_, rest, _ := strings.Cut(x.record.Referer, "://")
	i := strings.IndexByte(rest, '/')
	if i < 0 || rest[:i] != x.client.host {
		return "*"
	}
	path := rest[i:]
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	return path
}
