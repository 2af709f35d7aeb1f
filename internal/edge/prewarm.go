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
	"github.com/lateen-dev/lateen/internal/edge/site"
)

// prewarm prewarms functions of s.
func (e *Edge) prewarm(s *site.Site, functions []string) {
	for _, name := range functions {
		if spec, ok := s.Specs[name]; ok && e.o.Prewarm != nil {
			e.o.Prewarm(spec)
		}
	}
}

// prewarmOnHandshake returns c with a hook that prewarms functions by the host name in
// a TLS handshake, which announces a request.
func (e *Edge) prewarmOnHandshake(c *tls.Config) *tls.Config {
	if c == nil || e.o.Prewarm == nil {
		return c
	}
	c = c.Clone()
	choose := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		e.onHandshake(hello)
		if choose != nil {
			return choose(hello)
		}
		return nil, nil //nolint:nilnil // crypto/tls then uses c
	}
	return c
}

// onHandshake prewarms the functions that the first request of a connection is likely to
// call. It does nothing for a site that is not in memory: a handshake loads no site.
func (e *Edge) onHandshake(hello *tls.ClientHelloInfo) {
	to, ok := e.hosts.Get(site.Hostname(hello.ServerName))
	if !ok {
		return
	}
	s, ok := e.sites.Loaded(to.Deployment)
	if !ok {
		return
	}
	var client netip.Addr
	if peer, ok := hello.Conn.RemoteAddr().(*net.TCPAddr); ok && !e.clients.Trusts(peer.AddrPort().Addr()) {
		client = peer.AddrPort().Addr().Unmap()
	}
	e.prewarm(s, s.Habits.OnConnect(client, e.o.Now()))
}

// prewarmBehindMiddleware prewarms the functions that are likely to answer the request
// after its middleware.
func (x *exchange) prewarmBehindMiddleware() {
	x.edge.prewarm(x.Site, x.Site.Habits.OnRequest(x.req.URL.Path, x.edge.o.Now()))
}

// learn passes the response to the prediction of the site, and prewarms the functions
// that a page is likely to call next.
func (x *exchange) learn(status int, h http.Header) {
	if x.edge.o.Prewarm == nil || x.Site == nil {
		return
	}
	function, before := functionOf(x.record.Invocation), functionOf(x.record.Middleware)
	habits, now, from := x.Site.Habits, x.edge.o.Now(), x.Client.Addr
	if x.first {
		habits.OnFirst(now, before, function)
	}
	if before != "" {
		habits.OnAnswer(x.req.URL.Path, function, now)
	}
	if function != "" {
		habits.OnCall(function, x.referrer(), from, now)
	}
	if x.record.Output == "" || !x.isPage(status, h) {
		return
	}
	next := habits.OnPage(x.record.Output, x.req.URL.Path, from, now)
	next = slices.DeleteFunc(next, func(name string) bool { return name == function }) // this one is running
	if len(next) > 0 && !accept.IsCrawler(x.req.UserAgent()) {
		x.edge.prewarm(x.Site, next)
	}
}

func functionOf(inv *lateen.Invocation) string {
	if inv == nil {
		return ""
	}
	return inv.Function
}

// isPage reports whether the response is a page that a browser navigated to, by
// Sec-Fetch-Dest, else by its type. A 304 for a page in the browser's cache counts too.
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

// referrer returns the path of the page that sent the request: "" if it is unknown,
// "*" if it is a page of another site.
func (x *exchange) referrer() string {
	if len(x.record.Referer) == 0 {
		return ""
	}
	_, rest, _ := strings.Cut(x.record.Referer, "://")
	i := strings.IndexByte(rest, '/')
	if i < 0 || rest[:i] != x.Client.Host {
		return "*"
	}
	path := rest[i:]
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	return path
}
