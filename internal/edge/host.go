package edge

import (
	"maps"
	"net"
	"net/netip"
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
