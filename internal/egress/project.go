package egress

import "sync"

// project is the shared state of the attachments of a project.
type project struct {
	name    string
	places  quota   // connections and flows
	queries quota   // DNS queries under way
	bytes   quota   // bytes that the network holds for the project
	moved   account // guarded by buffers.mu

	attachments int // guarded by projects.mu
}

// projects are the projects with attachments.
type projects struct {
	mu     sync.Mutex // guards the fields below
	byName map[string]*project
}

// join adds an attachment to a project. A project may use half of each resource of
// the network.
func (n *Network) join(name string) *project {
	n.projects.mu.Lock()
	defer n.projects.mu.Unlock()
	p := n.projects.byName[name]
	if p == nil {
		p = &project{
			name:    name,
			places:  quota{parent: &n.places, limit: max(n.places.limit/2, 1)},
			queries: quota{parent: &n.queries, limit: max(n.queries.limit/2, 1)},
			bytes:   quota{parent: &n.bytes, limit: max(n.bytes.limit/2, 1)},
		}
		if n.projects.byName == nil {
			n.projects.byName = map[string]*project{}
		}
		n.projects.byName[name] = p
	}
	p.attachments++
	return p
}

// leave removes an attachment from its project.
func (n *Network) leave(p *project) {
	n.projects.mu.Lock()
	defer n.projects.mu.Unlock()
	if p.attachments--; p.attachments == 0 {
		delete(n.projects.byName, p.name)
	}
}
