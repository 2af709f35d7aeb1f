package edge

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Route points each host at a deployment or, where that is "", at nothing. It
// takes effect with the next request; all of it at once.
func (e *Edge) Route(hosts map[string]lateen.DeploymentID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := maps.Clone(*e.hosts.Load())
	for host, d := range hosts {
		if host = hostname(host); d == "" {
			delete(next, host)
		} else {
			next[host] = d
		}
	}
	e.hosts.Store(&next)
}

// Refresh loads the site of deployment d anew for the next request: what its
// project says has changed.
func (e *Edge) Refresh(d lateen.DeploymentID) { e.sites.forget(d) }

// Forget drops all there is of deployment d: it is deleted.
func (e *Edge) Forget(d lateen.DeploymentID) {
	e.mu.Lock()
	next := maps.Clone(*e.hosts.Load())
	maps.DeleteFunc(next, func(_ string, to lateen.DeploymentID) bool { return to == d })
	e.hosts.Store(&next)
	e.mu.Unlock()
	e.sites.forget(d)
	e.forgetPrerenders(d)
}

// isAPI reports whether requests for host are the API's.
func (e *Edge) isAPI(host string) bool {
	if host == "localhost" {
		return true
	}
	if rest, ok := strings.CutPrefix(host, "api."); ok {
		return rest == e.o.Domain
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// checkAuthority refuses a request for a host that no URL can have: without a
// name, with user information, or with a port that is none (RFC 9110 §4.2.1,
// §4.2.4; RFC 3986 §3.2.3). Programs put URLs of this site together from it.
func checkAuthority(r *http.Request, host string) error {
	switch scheme := r.URL.Scheme; {
	case r.URL.User != nil || strings.Contains(host, "@"):
		return lateen.ErrInvalid.With("the request names a user in its target or Host")
	case scheme != "" && scheme != "http" && scheme != "https", r.RequestURI == "*":
		return lateen.ErrInvalid.With("the request's target is no URL of http")
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if name == "" || strings.Contains(name, ":") && name[0] != '[' {
		return lateen.ErrInvalid.With("the request's Host names no host")
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return lateen.ErrInvalid.With("the request's Host has the port %q, which is none", port)
	}
	return nil
}

// hostname is host in the form of the host table: without port and final dot,
// in lower case.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
