// Package predict learns which functions clients call next, so that the caller can
// prewarm them: from a connection the function of its first request, from a page the
// functions that its visitors call soon after, from a path the function that answers
// it after a middleware.
//
// The package starts no instances and has no clock: the caller reports each event
// with its time, and prewarms the predicted functions. Observations decay with age
// and take a bounded amount of memory. A function is predicted only if it was called
// in at least 40 % of the earlier cases, and not for a client that never calls any.
package predict

import (
	"hash/maphash"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	maxProjects = 4096
	maxPath     = 256              // bytes of a path that is learned
	window      = 15 * time.Second // time in which a call is attributed to the page before it
)

// Predictor holds the observations of all projects. Its methods and those of its
// projects may be called concurrently.
type Predictor struct {
	seed    maphash.Seed
	clients clients

	mu       sync.Mutex // guards the fields below
	projects map[lateen.ProjectID]*Project
	requests int64 // number of calls of Project
}

// New returns a predictor without observations.
func New() *Predictor {
	return &Predictor{seed: maphash.MakeSeed(), projects: map[lateen.ProjectID]*Project{}}
}

// Project returns the observations of a project, which all its deployments share:
// their functions have the same names. Of more than 4,096 projects, the predictor
// drops those that were requested long ago.
func (l *Predictor) Project(id lateen.ProjectID) *Project {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.projects[id]
	if !ok {
		p = &Project{predictor: l, causes: map[causeKey]*cause{}}
		evictOldest(l.projects, maxProjects, func(p *Project) int64 { return p.requested })
		l.projects[id] = p
	}
	l.requests++
	p.requested = l.requests
	return p
}

// Project is the observations of one project.
type Project struct {
	predictor *Predictor
	requested int64 // value of predictor.requests at the last request; guarded by predictor.mu

	mu     sync.Mutex // guards the fields below
	causes map[causeKey]*cause
}

// causeKey identifies a cause.
type causeKey struct {
	kind kind
	name string
}

type kind int

const (
	connection kind = iota
	page            // page that a client was sent
	exact           // path of a request
	folder          // directory of a request's path
)

// OnConnect returns the functions that the first request on a connection from client
// will likely call.
func (p *Project) OnConnect(client netip.Addr, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.predict(p.causes[causeKey{connection, ""}], client, now)
}

// OnFirst records that the first request of a connection called functions; "" is
// none.
func (p *Project) OnFirst(now time.Time, functions ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause(connection, "", now).count(functions...)
}

// OnPage records that a client was sent a page, an output of that name at a path,
// and returns the functions that the client will likely call next.
func (p *Project) OnPage(output, path string, client netip.Addr, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cause(page, output, now)
	c.count()
	p.predictor.clients.recordPage(p.predictor.key(client, p), view{cause: c, path: p.predictor.hash(path), at: now})
	return p.predict(c, client, now)
}

// OnCall records that a client called a function. referer is the path of the page
// that made the call, or "".
func (p *Project) OnCall(function, referer string, client netip.Addr, now time.Time) {
	p.predictor.clients.resetUnused(p.predictor.key(client, nil))
	c := p.predictor.clients.lastPage(p.predictor.key(client, p), func(v *view) bool {
		if now.Sub(v.at) > window || referer != "" && p.predictor.hash(referer) != v.path {
			return false
		}
		return v.first(p.predictor.hash(function))
	})
	if c == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.countEffect(function)
}

// OnRequest returns the functions that will likely answer a request for a path after
// a middleware.
func (p *Project) OnRequest(urlPath string, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.causes[causeKey{exact, urlPath}]
	if c == nil {
		c = p.causes[causeKey{folder, path.Dir(urlPath)}]
	}
	return p.predict(c, netip.Addr{}, now)
}

// OnAnswer records that a function answered a request for a path; "" is none.
func (p *Project) OnAnswer(urlPath, function string, now time.Time) {
	if len(urlPath) > maxPath {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause(exact, urlPath, now).count(function)
	p.cause(folder, path.Dir(urlPath), now).count(function)
}

// cause returns the observations of a cause, to be updated.
func (p *Project) cause(k kind, name string, now time.Time) *cause {
	key := causeKey{k, name}
	c, ok := p.causes[key]
	if !ok {
		key.name = strings.Clone(name) // name may be a part of a large string
		c = &cause{}
		evictOldest(p.causes, maxCauses, func(c *cause) int64 { return c.last.UnixNano() })
		p.causes[key] = c
	}
	c.last = now
	return c
}

// predict returns the likely effects of c, unless they were predicted a moment ago
// or too many predictions for the client were unused. An invalid client has no such
// limit.
func (p *Project) predict(c *cause, client netip.Addr, now time.Time) []string {
	if c == nil || now.Sub(c.predicted) < minInterval {
		return nil
	}
	likely := c.likely()
	if len(likely) == 0 || client.IsValid() && !p.predictor.clients.allow(p.predictor.key(client, nil), now) {
		return nil
	}
	c.predicted = now
	return likely
}

// key identifies a client, or a client in one project. The addresses of one IPv6
// network of 64 bits are one client.
func (l *Predictor) key(client netip.Addr, p *Project) clientKey {
	if client.Is6() && !client.Is4In6() {
		network, _ := client.Prefix(64) // always valid for 128-bit addresses
		client = network.Addr()
	}
	return clientKey(maphash.Comparable(l.seed, struct {
		client netip.Addr
		in     *Project
	}{client, p}))
}

func (l *Predictor) hash(text string) uint64 { return maphash.String(l.seed, text) }
