// Package foresight learns what visitors ask for next, so that it can be
// started before they do: from a connection which function its first request
// is for, from a page which functions its visitors call soon after, from a path
// which function answers it once a middleware has let it pass.
//
// It starts nothing and has no clock: the caller tells it what happened when,
// and starts what it names. What is learned is forgotten as it gets old, and
// takes a bounded amount of memory. A function is named only where it was called
// in two of five times before, and not for a client that never calls any.
package foresight

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
	window      = 15 * time.Second // in which a call is due to the page before it
)

// Foresight is what was learned of all projects. Its methods may be called
// concurrently, those of its projects too.
type Foresight struct {
	seed    maphash.Seed
	clients clients

	mu       sync.Mutex // guards below
	projects map[lateen.ProjectID]*Project
	asked    int64 // how often for a project
}

// New returns a foresight that has learned nothing.
func New() *Foresight {
	return &Foresight{seed: maphash.MakeSeed(), projects: map[lateen.ProjectID]*Project{}}
}

// Project returns what was learned of a project: all its deployments have their
// functions under the same names. Of more than 4,096 projects, those asked for
// long ago are learned anew.
func (f *Foresight) Project(id lateen.ProjectID) *Project {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.projects[id]
	if !ok {
		p = &Project{of: f, causes: map[causeKey]*cause{}}
		makeRoom(f.projects, maxProjects, func(p *Project) int64 { return p.asked })
		f.projects[id] = p
	}
	f.asked++
	p.asked = f.asked
	return p
}

// Project is what was learned of one project.
type Project struct {
	of    *Foresight
	asked int64 // when it was asked for last, guarded by of.mu

	mu     sync.Mutex // guards below
	causes map[causeKey]*cause
}

// causeKey names something after which functions are called.
type causeKey struct {
	kind kind
	name string
}

type kind int

const (
	connection kind = iota
	page            // that a client was sent
	exact           // path that was asked for
	folder          // that the path is in
)

// Connect returns the functions that the first request of a connection from
// client is likely for.
func (p *Project) Connect(client netip.Addr, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.foretell(p.causes[causeKey{connection, ""}], client, now)
}

// First learns that the first request of a connection called functions; "" is none.
func (p *Project) First(now time.Time, functions ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause(connection, "", now).happened(functions...)
}

// Page learns that a client was sent a page, an output of that name under a
// path, and returns the functions that it is likely to call next.
func (p *Project) Page(output, path string, client netip.Addr, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cause(page, output, now)
	c.happened()
	p.of.clients.see(p.of.key(client, p), view{cause: c, path: p.of.hash(path), at: now})
	return p.foretell(c, client, now)
}

// Call learns that a client called a function, from the page under the path
// referer, if it says so.
func (p *Project) Call(function, referer string, client netip.Addr, now time.Time) {
	p.of.clients.settle(p.of.key(client, nil))
	c := p.of.clients.after(p.of.key(client, p), func(v *view) bool {
		if now.Sub(v.at) > window || referer != "" && p.of.hash(referer) != v.path {
			return false
		}
		return v.first(p.of.hash(function))
	})
	if c == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.led(function)
}

// Arrive returns the functions that are likely to answer a request for a path,
// while something else has to be done first.
func (p *Project) Arrive(urlPath string, now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.causes[causeKey{exact, urlPath}]
	if c == nil {
		c = p.causes[causeKey{folder, path.Dir(urlPath)}]
	}
	return p.foretell(c, netip.Addr{}, now)
}

// Answered learns that a function answered a request for a path; "" is none.
func (p *Project) Answered(urlPath, function string, now time.Time) {
	if len(urlPath) > maxPath {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause(exact, urlPath, now).happened(function)
	p.cause(folder, path.Dir(urlPath), now).happened(function)
}

// cause returns what was learned of a cause, to learn more of it.
func (p *Project) cause(k kind, name string, now time.Time) *cause {
	key := causeKey{k, name}
	c, ok := p.causes[key]
	if !ok {
		key.name = strings.Clone(name) // which may be a part of something large
		c = &cause{}
		makeRoom(p.causes, maxCauses, func(c *cause) int64 { return c.last.UnixNano() })
		p.causes[key] = c
	}
	c.last = now
	return c
}

// foretell returns what c is likely to lead to, unless that was said a moment
// ago or the client is not worth it. An invalid client always is.
func (p *Project) foretell(c *cause, client netip.Addr, now time.Time) []string {
	if c == nil || now.Sub(c.told) < pause {
		return nil
	}
	likely := c.likely()
	if len(likely) == 0 || client.IsValid() && !p.of.clients.trust(p.of.key(client, nil), now) {
		return nil
	}
	c.told = now
	return likely
}

// key names a client, or what it does in one project. The addresses of one
// IPv6 network of 64 bits are one client's.
func (f *Foresight) key(client netip.Addr, p *Project) clientKey {
	if client.Is6() && !client.Is4In6() {
		network, _ := client.Prefix(64) // which is within an address of 128 bits
		client = network.Addr()
	}
	return clientKey(maphash.Comparable(f.seed, struct {
		client netip.Addr
		in     *Project
	}{client, p}))
}

func (f *Foresight) hash(text string) uint64 { return maphash.String(f.seed, text) }
