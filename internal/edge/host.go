package edge

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Route binds each host, or removes the host if its binding is zero. All changes take
// effect at once, for the next request.
func (e *Edge) Route(hosts map[string]lateen.Binding) { e.hosts.Put(hosts) }

// Apply applies events of the platform: changes of hosts, of a project's settings and
// deletions of deployments. All hosts of events change at once.
func (e *Edge) Apply(events []lateen.Event) {
	hosts := make(map[string]lateen.Binding)
	for i := range events {
		switch ev := &events[i]; ev.Type {
		case lateen.HostBound, lateen.HostUnbound:
			hosts[ev.Subject] = ev.Binding
		case lateen.ProjectUpdated:
			e.sites.Refresh(ev.Project)
		case lateen.DeploymentRemoved:
			e.sites.Forget(ev.Deployment)
		default: // concerns other subscribers
		}
	}
	if len(hosts) > 0 {
		e.Route(hosts)
	}
}

// Forget removes the cached pages of the deleted deployment d from memory and disk.
func (e *Edge) Forget(d lateen.DeploymentID) error {
	if e.o.Cache == nil {
		return nil
	}
	if err := e.o.Cache.Drop(string(d)); err != nil {
		return fmt.Errorf("remove the cached pages of deployment %s: %w", d, err)
	}
	return nil
}

// isAPI reports whether host is one of the API's.
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

// checkAuthority refuses a request whose host no http URL can have: without a name,
// with user information, or with an invalid port (RFC 9110 §4.2.1, §4.2.4; RFC 3986
// §3.2.3). Programs build URLs of the site from the host.
func checkAuthority(r *http.Request, host string) error {
	switch scheme := r.URL.Scheme; {
	case r.URL.User != nil || strings.Contains(host, "@"):
		return lateen.ErrInvalid.With("the request's target or Host contains user information")
	case scheme != "" && scheme != "http" && scheme != "https", r.RequestURI == "*":
		return lateen.ErrInvalid.With("the request's target is not an http URL")
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if name == "" || strings.Contains(name, ":") && name[0] != '[' {
		return lateen.ErrInvalid.With("the request's Host has no host name")
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return lateen.ErrInvalid.With("the request's Host has the invalid port %q", port)
	}
	return nil
}
