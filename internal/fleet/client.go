package fleet

import "time"

// perClient is the maximum ratio of the places that one client holds to the places
// that are free for other clients: one client gets at most three of four places.
const perClient = 3

// mayTake reports whether a client may have another place in rev. Without this
// bound, one client could hold all places with requests that do not end: WebSockets,
// streams, slow uploads. While rev may still get more instances, one client may hold
// all places up to the learned limit, except the last quarter of the places below
// the ceiling. The client "" stands for no particular client and has no bound.
func (rev *revision) mayTake(client string) bool {
	switch {
	case client == "":
		return true
	case (perClient+1)*rev.clientPlaces[client] >= perClient*rev.ceiling*rev.active && rev.ceiling > perClient:
		return false
	case rev.active+rev.starting < rev.most:
		return true
	}
	free, limit := 0, rev.function.learned.Limit.At(rev.ceiling)
	for _, inst := range rev.instances {
		if !inst.leaving {
			free += max(0, limit-inst.inFlight)
		}
	}
	return rev.clientPlaces[client] < perClient*free
}

// nextWaiting returns the index of the first waiting request of rev that may have a
// place, and the instance that has the place; nil means that there is no such
// request.
func (rev *revision) nextWaiting(now time.Time) (int, *instance) {
	if len(rev.waiting) == 0 {
		return 0, nil
	}
	free, over := rev.available(), ""
	if free == nil {
		return rev.beyondLimit(now)
	}
	for i, w := range rev.waiting {
		switch {
		case w.client != "" && w.client == over: // often many requests of one client follow each other
		case rev.mayTake(w.client):
			return i, free
		default:
			over = w.client
		}
	}
	return 0, nil
}

// beyondLimit is nextWaiting for the case that all instances are full. If one
// client holds most places, requests of other clients that have waited for
// [beyondLimitAfter] get places beyond the learned limit: the limit may have been
// higher when that client took its places, and there may be no CPU time or memory
// for further instances.
func (rev *revision) beyondLimit(now time.Time) (int, *instance) {
	if rev.majority == "" || rev.clientPlaces[rev.majority] < leastMajority {
		return 0, nil
	}
	for i, w := range rev.waiting {
		if now.Sub(w.since) < beyondLimitAfter {
			break // the requests behind it have waited for less
		}
		if w.client != rev.majority {
			return i, rev.availableBelow(rev.ceiling)
		}
	}
	return 0, nil
}

// Conditions under which [revision.beyondLimit] exceeds the learned limit.
const (
	leastMajority    = 8           // places of the client, which must also be more than half of all places
	beyondLimitAfter = time.Second // waiting time of a request of another client
)

// countPlaces adds places to the count of a client.
func (rev *revision) countPlaces(client string, places int) {
	if client == "" {
		return
	}
	if rev.clientPlaces == nil {
		rev.clientPlaces = map[string]int{}
	}
	rev.places += places
	switch rev.clientPlaces[client] += places; {
	case rev.clientPlaces[client] == 0:
		delete(rev.clientPlaces, client)
	case places > 0 && 2*rev.clientPlaces[client] > rev.places:
		rev.majority = client
	}
	if 2*rev.clientPlaces[rev.majority] <= rev.places {
		rev.majority = ""
	}
}
