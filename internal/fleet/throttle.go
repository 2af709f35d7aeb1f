package fleet

import (
	"slices"

	"github.com/lateen-dev/lateen"
)

// crowd holds the waiting requests of a function or of a project by client. All its
// methods take about the same time for thousands of requests: a flood of requests to a
// full queue calls them for each.
type crowd struct {
	n      int
	of     map[string][]*waiter  // by client, in order of arrival
	levels []map[string]struct{} // the particular clients with one waiting request, with two, and so on
}

func (c *crowd) add(w *waiter) {
	if c.of == nil {
		c.of = map[string][]*waiter{}
	}
	c.of[w.client] = append(c.of[w.client], w)
	of := len(c.of[w.client])
	c.move(w.client, of-1, of)
	c.n++
}

func (c *crowd) remove(w *waiter) {
	of := c.of[w.client]
	c.move(w.client, len(of), len(of)-1)
	i := slices.Index(of, w)
	if of = slices.Delete(of, i, i+1); len(of) > 0 {
		c.of[w.client] = of
	} else {
		delete(c.of, w.client)
	}
	c.n--
}

// move moves a client from one level to another.
func (c *crowd) move(client string, from, to int) {
	if client == "" {
		return
	}
	if to > len(c.levels) {
		c.levels = append(c.levels, map[string]struct{}{})
	}
	if to > 0 {
		c.levels[to-1][client] = struct{}{}
	}
	if from > 0 {
		delete(c.levels[from-1], client)
	}
	if last := len(c.levels) - 1; len(c.levels[last]) == 0 {
		c.levels = c.levels[:last]
	}
}

// greediest returns the waiting requests of a client with the most; nil if there is no
// particular client.
func (c *crowd) greediest() []*waiter {
	if len(c.levels) > 0 {
		for client := range c.levels[len(c.levels)-1] {
			return c.of[client]
		}
	}
	return nil
}

// displace refuses one waiting request of a full queue in favor of a new request of
// client: of the client with the most waiting requests in it, the last one. client then
// has no more of them than that other client. It returns the revision of the refused
// request, which the caller drops once the new one waits; nil if it refused none.
func (r *roster) displace(full *crowd, name, client string) *revision {
	most := full.greediest()
	if len(most) < len(full.of[client])+2 {
		return nil
	}
	w := most[len(most)-1]
	w.ready <- granted{err: lateen.ErrFunctionThrottled.With("%d requests of this client already wait for %s", len(most), name)}
	rev := w.revision
	i := slices.Index(rev.waiting, w)
	rev.waiting = slices.Delete(rev.waiting, i, i+1)
	r.leave(w)
	return rev
}

// fullQueue returns the waiting requests that share the bound which keeps another
// request out of rev's queue, and a name of their functions; nil means that the queue is
// not full.
func (r *roster) fullQueue(rev *revision) (full *crowd, name string) {
	switch project := rev.function.project; {
	case len(rev.waiting) >= r.o.Queue:
		return &rev.crowd, rev.spec.Name
	case project.waiting.n >= r.o.ProjectQueue:
		return &project.waiting, "the functions of this project"
	}
	return nil, ""
}
