package cache

import (
	"slices"
	"sync"

	"github.com/lateen-dev/lateen/internal/rounds"
	"github.com/lateen-dev/lateen/internal/share"
)

// places bound the makings that run at once. Tenants divide them by
// [share.Shares]; a scope has a quarter of them at most. Those that find none
// wait, in the order of [rounds.Turns] between tenants, and between the clients of a
// scope.
type places struct {
	perScope int

	mu     sync.Mutex // guards below
	shares *share.Shares[string]
	turns  rounds.Turns[string]
	asked  uint64            // how often a place was asked for
	held   map[string]int    // by scope
	queues map[string]*queue // by scope; none is empty
}

func newPlaces(n int) *places {
	return &places{
		perScope: max(1, n/4), shares: share.New[string](int64(n)), held: map[string]int{}, queues: map[string]*queue{},
	}
}

// queue is the waits for places of a scope, in the order in which they end.
type queue struct {
	waiting []*place
	clients rounds.Turns[string]
}

// join puts p into the queue by the turn of its client. The turns of its tenant stay in
// the order of the queue.
func (q *queue) join(p *place) {
	p.own = q.clients.Take(p.client, 1)
	q.waiting = append(q.waiting, p)
	for i := len(q.waiting) - 1; i > 0 && p.own < q.waiting[i-1].own; i-- {
		next := q.waiting[i-1]
		p.turn, next.turn = next.turn, p.turn
		p.number, next.number = next.number, p.number
		q.waiting[i-1], q.waiting[i] = p, next
	}
}

// place is one of them, or a wait for one.
type place struct {
	of            *places
	tenant, scope string
	client        string
	turn          rounds.Turn   // of its tenant
	own           rounds.Turn   // of its client, in its scope
	number        uint64        // of the ask; decides between equal turns of tenants
	granted       chan struct{} // closed once it is one

	has, gone bool // guarded by of.mu
}

// ask returns a place, which may have to be waited for. The caller leaves it.
func (ps *places) ask(tenant, scope, client string) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := &place{of: ps, tenant: tenant, scope: scope, client: client, granted: make(chan struct{})}
	waits := ps.queues[scope]
	if waits == nil {
		if ps.grantLocked(p) {
			return p
		}
		waits = &queue{}
		ps.queues[scope] = waits
	}
	ps.asked++
	p.turn, p.number = ps.turns.Take(tenant, 1), ps.asked
	waits.join(p)
	return p
}

// try returns a place that is free now; nil if there is none.
func (ps *places) try(tenant, scope string) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := &place{of: ps, tenant: tenant, scope: scope, granted: make(chan struct{})}
	if !ps.grantLocked(p) {
		return nil
	}
	return p
}

// grantLocked gives p its place, and reports whether there is one.
func (ps *places) grantLocked(p *place) bool {
	if ps.held[p.scope] >= ps.perScope || !ps.shares.Take(1, p.tenant) {
		return false
	}
	ps.held[p.scope]++
	p.has = true
	close(p.granted)
	return true
}

// leave gives the place back, or ends the wait for it. Calls after the first do nothing.
func (p *place) leave() {
	ps := p.of
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
		ps.serveLocked()
	default:
		ps.dropLocked(p)
	}
	p.gone = true
}

// serveLocked gives free places to those whose turn it is.
func (ps *places) serveLocked() {
	refused := map[string]bool{} // scopes that get no place now
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
			ps.queues[next.scope].clients.Serve(next.own)
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
