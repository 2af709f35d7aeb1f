package fleet

import (
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

// perClient is the ratio of the places that one client holds to those that are free for
// others, at most: three of four places.
const perClient = 3

// mayTakeLocked reports whether a client may have another place in p. Requests that do
// not end, of one client, would hold every place else: WebSockets, streams, bodies
// that are sent slowly. While there may be more instances, one client may have all
// places that the limit gives them, but for the last quarter of those below the ceiling;
// "", which is no client, may have all in any case.
func (p *pool) mayTakeLocked(client string) bool {
	switch {
	case client == "":
		return true
	case (perClient+1)*p.held[client] >= perClient*p.ceiling*p.active && p.ceiling > perClient:
		return false
	case p.active+p.starting < p.most:
		return true
	}
	free, limit := 0, p.function.limit.At(p.ceiling)
	for _, m := range p.members {
		if !m.leaving {
			free += max(0, limit-m.inFlight)
		}
	}
	return p.held[client] < perClient*free
}

// nextLocked returns the index of the first request that waits for p and may have a
// place, and the instance with that; nil is none.
func (p *pool) nextLocked(now time.Time) (int, *member) {
	if len(p.waiting) == 0 {
		return 0, nil
	}
	room, over := p.roomLocked(), ""
	if room == nil {
		return p.besideLocked(now)
	}
	for i, w := range p.waiting {
		switch {
		case w.client != "" && w.client == over: // many of one client wait in a row
		case p.mayTakeLocked(w.client):
			return i, room
		default:
			over = w.client
		}
	}
	return 0, nil
}

// besideLocked is nextLocked where all instances are full. Where one client holds most
// places, the requests of others that have waited for a while get places beyond the
// limit that was learnt: that may have been higher when the client came, and there may
// be no processor time, or memory, for further instances.
func (p *pool) besideLocked(now time.Time) (int, *member) {
	if p.majority == "" || p.held[p.majority] < leastMajority {
		return 0, nil
	}
	for i, w := range p.waiting {
		if now.Sub(w.since) < besideAfter {
			break // so did those behind it
		}
		if w.client != p.majority {
			return i, p.roomBelowLocked(p.ceiling)
		}
	}
	return 0, nil
}

// When [pool.besideLocked] gives places beyond the limit that was learnt.
const (
	leastMajority = 8           // places, besides being more than half of all
	besideAfter   = time.Second // that a request of another client has waited
)

// holdLocked counts a place of a client.
func (p *pool) holdLocked(client string, places int) {
	if client == "" {
		return
	}
	if p.held == nil {
		p.held = map[string]int{}
	}
	p.places += places
	switch p.held[client] += places; {
	case p.held[client] == 0:
		delete(p.held, client)
	case places > 0 && 2*p.held[client] > p.places:
		p.majority = client
	}
	if 2*p.held[p.majority] <= p.places {
		p.majority = ""
	}
}

// displaceLocked refuses the last request, of those that wait for p, of the client that
// has most of them, for one of another client that then has no more. It reports
// whether there was such a client.
func (f *Fleet) displaceLocked(p *pool, client string) bool {
	waiting, most := map[string]int{}, ""
	for _, w := range p.waiting {
		if waiting[w.client]++; w.client != "" && waiting[w.client] > waiting[most] {
			most = w.client
		}
	}
	if most == "" || waiting[most] < waiting[client]+2 {
		return false
	}
	for i, w := range slices.Backward(p.waiting) {
		if w.client == most {
			p.waiting = slices.Delete(p.waiting, i, i+1)
			p.leaveLocked(f)
			w.ready <- granted{err: lateen.ErrFunctionThrottled.With("%d requests of this client wait for %s already", waiting[most], p.spec.Name)}
			return true
		}
	}
	return false
}
