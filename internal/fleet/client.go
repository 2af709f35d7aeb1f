package fleet

import (
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

// perClient is the maximum ratio of the places that one client holds to the places
// that are free for other clients: one client gets at most three of four places.
const perClient = 3

// mayTakeLocked reports whether a client may have another place in rev. Without this
// bound, one client could hold all places with requests that do not end: WebSockets,
// streams, slow uploads. While rev may still get more instances, one client may hold
// all places up to the learned limit, except the last quarter of the places below
// the ceiling. The client "" stands for no particular client and has no bound.
func (rev *revision) mayTakeLocked(client string) bool {
	switch {
	case client == "":
		return true
	case (perClient+1)*rev.clientPlaces[client] >= perClient*rev.ceiling*rev.active && rev.ceiling > perClient:
		return false
	case rev.active+rev.starting < rev.most:
		return true
	}
	free, limit := 0, rev.function.limit.At(rev.ceiling)
	for _, inst := range rev.instances {
		if !inst.leaving {
			free += max(0, limit-inst.inFlight)
		}
	}
	return rev.clientPlaces[client] < perClient*free
}

// nextLocked returns the index of the first waiting request of rev that may have a
// place, and the instance that has the place; nil means that there is no such
// request.
func (rev *revision) nextLocked(now time.Time) (int, *instance) {
	if len(rev.waiting) == 0 {
		return 0, nil
	}
	free, over := rev.availableLocked(), ""
	if free == nil {
		return rev.beyondLimitLocked(now)
	}
	for i, w := range rev.waiting {
		switch {
		case w.client != "" && w.client == over: // often many requests of one client follow each other
		case rev.mayTakeLocked(w.client):
			return i, free
		default:
			over = w.client
		}
	}
	return 0, nil
}

// beyondLimitLocked is nextLocked for the case that all instances are full. If one
// client holds most places, requests of other clients that have waited for
// [beyondLimitAfter] get places beyond the learned limit: the limit may have been
// higher when that client took its places, and there may be no CPU time or memory
// for further instances.
func (rev *revision) beyondLimitLocked(now time.Time) (int, *instance) {
	if rev.majority == "" || rev.clientPlaces[rev.majority] < leastMajority {
		return 0, nil
	}
	for i, w := range rev.waiting {
		if now.Sub(w.since) < beyondLimitAfter {
			break // the requests behind it have waited for less
		}
		if w.client != rev.majority {
			return i, rev.availableBelowLocked(rev.ceiling)
		}
	}
	return 0, nil
}

// Conditions under which [revision.beyondLimitLocked] exceeds the learned limit.
const (
	leastMajority    = 8           // places of the client, which must also be more than half of all places
	beyondLimitAfter = time.Second // waiting time of a request of another client
)

// countPlacesLocked adds places to the count of a client.
func (rev *revision) countPlacesLocked(client string, places int) {
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

// displaceLocked refuses one waiting request in favor of a new request of client: of
// the client with the most waiting requests in revisions, the last one. client then
// has no more of them than that other client. It reports whether it refused a
// request.
func (f *Fleet) displaceLocked(revisions []*revision, client string) bool {
	waiting, most := map[string]int{}, ""
	for _, rev := range revisions {
		for _, w := range rev.waiting {
			if waiting[w.client]++; w.client != "" && waiting[w.client] > waiting[most] {
				most = w.client
			}
		}
	}
	if most == "" || waiting[most] < waiting[client]+2 {
		return false
	}
	var from *revision
	var last int
	for _, rev := range revisions {
		for i, w := range slices.Backward(rev.waiting) {
			if w.client == most {
				if from == nil || w.since.After(from.waiting[last].since) {
					from, last = rev, i
				}
				break
			}
		}
	}
	from.waiting[last].ready <- granted{err: lateen.ErrFunctionThrottled.With("%d requests of this client already wait for %s", waiting[most], nameOf(revisions))}
	from.waiting = slices.Delete(from.waiting, last, last+1)
	from.leaveLocked(f)
	return true
}

// nameOf returns a description of revisions for an error message.
func nameOf(revisions []*revision) string {
	if len(revisions) == 1 {
		return revisions[0].spec.Name
	}
	return "the functions of this project"
}

// queuesLocked returns the revisions that share the bound which keeps another
// request out of rev's queue; nil means that the queue is not full.
func (f *Fleet) queuesLocked(rev *revision) (revisions []*revision) {
	switch project := rev.function.project; {
	case len(rev.waiting) >= f.o.Queue:
		return []*revision{rev}
	case project.waiting >= f.o.ProjectQueue:
		for _, fn := range project.functions {
			revisions = append(revisions, fn.revisions...)
		}
	}
	return revisions
}
