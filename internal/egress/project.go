package egress

import "sync"

// project is what the attachments of a project share.
type project struct {
	name    string
	places  quota   // connections and flows
	queries quota   // DNS queries under way
	bytes   quota   // that the network holds for it
	moved   account // guarded by turns.mu

	attachments int // guarded by projects.mu
}

// projects are those with attachments.
type projects struct {
	mu     sync.Mutex // guards below
	byName map[string]*project
}

// join adds an attachment to a project. A project may hold half of what there is
// of everything.
func (n *Network) join(name string) *project {
	n.projects.mu.Lock()
	defer n.projects.mu.Unlock()
	p := n.projects.byName[name]
	if p == nil {
		p = &project{
			name:    name,
			places:  quota{over: &n.places, most: max(n.places.most/2, 1)},
			queries: quota{over: &n.queries, most: max(n.queries.most/2, 1)},
			bytes:   quota{over: &n.bytes, most: max(n.bytes.most/2, 1)},
		}
		if n.projects.byName == nil {
			n.projects.byName = map[string]*project{}
		}
		n.projects.byName[name] = p
	}
	p.attachments++
	return p
}

// leave takes an attachment from its project.
func (n *Network) leave(p *project) {
	n.projects.mu.Lock()
	defer n.projects.mu.Unlock()
	if p.attachments--; p.attachments == 0 {
		delete(n.projects.byName, p.name)
	}
}
