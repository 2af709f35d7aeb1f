package cache

import (
	"slices"
	"sync"

	"github.com/lateen-dev/lateen/internal/fairqueue"
	"github.com/lateen-dev/lateen/internal/share"
)

// places bounds the concurrent cache fills. Tenants divide them by [share.Shares]; a
// scope has a quarter of them at most. Further fills wait, in the order of
// [fairqueue.Turns] between tenants, and between the clients of a scope.
type places struct {
	perScope int

	mu       sync.Mutex // guards the fields below
	shares   *share.Shares[string]
	turns    fairqueue.Turns[string]
	requests uint64            // number of requested places
	held     map[string]int    // places in use, by scope
	queues   map[string]*queue // by scope; no queue is empty
}

func newPlaces(n int) *places {
	return &places{
		perScope: max(1, n/4), shares: share.New[string](int64(n)), held: map[string]int{}, queues: map[string]*queue{},
	}
}

// queue is the waiting places of a scope, in the order in which they are granted.
type queue struct {
	waiting []*place
	clients fairqueue.Turns[string]
}

// join puts p into the queue by the turn of its client. The turns of its tenant keep
// the order of the queue.
func (q *queue) join(p *place) {
	p.clientTurn = q.clients.Take(p.client, 1)
	q.waiting = append(q.waiting, p)
	for i := len(q.waiting) - 1; i > 0 && p.clientTurn < q.waiting[i-1].clientTurn; i-- {
		next := q.waiting[i-1]
		p.turn, next.turn = next.turn, p.turn
		p.number, next.number = next.number, p.number
		q.waiting[i-1], q.waiting[i] = p, next
	}
}

// place is one of the places, or a wait for one.
type place struct {
	places        *places
	tenant, scope string
	client        string
	turn          fairqueue.Turn // turn of its tenant
	clientTurn    fairqueue.Turn // turn of its client, in its scope
	number        uint64         // number of the request; decides between equal turns of tenants
	granted       chan struct{}  // closed once the place is granted

	has, gone bool // guarded by places.mu
}

// acquire returns a place, which may not be granted yet. The caller releases it.
func (ps *places) acquire(tenant, scope, client string) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := &place{places: ps, tenant: tenant, scope: scope, client: client, granted: make(chan struct{})}
	waits := ps.queues[scope]
	if waits == nil {
		if ps.grantLocked(p) {
			return p
		}
		waits = &queue{}
		ps.queues[scope] = waits
	}
	ps.requests++
	p.turn, p.number = ps.turns.Take(tenant, 1), ps.requests
	waits.join(p)
	return p
}

// tryAcquire returns a granted place, or nil if none is free.
func (ps *places) tryAcquire(tenant, scope string) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := &place{places: ps, tenant: tenant, scope: scope, granted: make(chan struct{})}
	if !ps.grantLocked(p) {
		return nil
	}
	return p
}

// grantLocked grants p, and reports whether a place was free.
func (ps *places) grantLocked(p *place) bool {
	if ps.held[p.scope] >= ps.perScope || !ps.shares.Take(1, p.tenant) {
		return false
	}
	ps.held[p.scope]++
	p.has = true
	close(p.granted)
	return true
}

// release frees the place, or ends the wait for it. Calls after the first have no
// effect.
func (p *place) release() {
	ps := p.places
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case p.gone:
		return
	case p.has:
		ps.shares.Give(1, p.tenant)
		if ps.held[p.scope]--; ps.held[p.scope] == 0 {
			delete(ps.held, p.scope)
		}
		ps.grantNextLocked()
	default:
		ps.dropLocked(p)
	}
	p.gone = true
}

// grantNextLocked grants free places in turn.
func (ps *places) grantNextLocked() {
	refused := map[string]bool{} // scopes without a free place
	for {
		var next *place
		for scope, queue := range ps.queues {
			if !refused[scope] && (next == nil || queue.waiting[0].before(next)) {
				next = queue.waiting[0]
			}
		}
		switch {
		case next == nil:
			return
		case ps.grantLocked(next):
			ps.turns.Serve(next.turn)
			ps.queues[next.scope].clients.Serve(next.clientTurn)
			ps.dropLocked(next)
		default:
			refused[next.scope] = true
		}
	}
}

// before reports whether p is served before other.
func (p *place) before(other *place) bool {
	return p.turn < other.turn || p.turn == other.turn && p.number < other.number
}

// dropLocked removes p from its queue.
func (ps *places) dropLocked(p *place) {
	queue := ps.queues[p.scope]
	if i := slices.Index(queue.waiting, p); i >= 0 {
		queue.waiting = slices.Delete(queue.waiting, i, i+1)
	}
	if len(queue.waiting) == 0 {
		delete(ps.queues, p.scope)
	}
}
