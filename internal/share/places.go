package share

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrFull means that the tenant's share of the queue is used up.
var ErrFull = errors.New("the tenant's queue is full")

// Places bounds the concurrency of work. Work without a place waits. A free place
// goes to the tenant that holds the fewest, of equal ones to the tenant whose last
// grant is the oldest, and within the tenant to the claim that came first. All
// methods may be called concurrently. Use [NewPlaces] or [NewTurns].
type Places[K comparable] struct {
	bounded bool // a tenant holds at most its share

	mu      sync.Mutex // guards the fields below
	places  *Shares[K]
	queue   *Shares[K] // queue of waiting claims
	waiting []*claim[K]
	turn    uint64
	served  map[K]uint64 // turn of a tenant's last grant, for tenants that hold a place or wait
}

// claim is waiting work.
type claim[K comparable] struct {
	tenants []K
	granted chan struct{} // closed when it gets a place
}

// NewPlaces returns places of which a tenant may hold its share, see [Shares]. At
// most queue claims wait, and a tenant may have its share of these, too.
func NewPlaces[K comparable](places, queue int) *Places[K] {
	return &Places[K]{bounded: true, places: New[K](int64(places)), queue: New[K](int64(queue)), served: map[K]uint64{}}
}

// NewTurns returns places of which one tenant may hold all: for work in pieces so
// short that other tenants can wait for their end.
func NewTurns[K comparable](places, queue int) *Places[K] {
	p := NewPlaces[K](places, queue)
	p.bounded = false
	return p
}

// Take waits for a place for the last of tenants, each of which is a part of the one
// before it, and returns a function that gives it back, to be called once. The error
// is [ErrFull] or the cause of ctx.
func (p *Places[K]) Take(ctx context.Context, tenants ...K) (release func(), err error) {
	c, err := p.claim(tenants)
	if err != nil {
		return nil, err
	}
	release = func() { p.release(tenants) }
	select {
	case <-c.granted:
		return release, nil
	default:
	}
	select {
	case <-c.granted:
		return release, nil
	case <-ctx.Done():
		p.drop(c)
		return nil, context.Cause(ctx)
	}
}

// TryTake takes a place for the last of tenants if one is free for it now.
func (p *Places[K]) TryTake(tenants ...K) (release func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.has(tenants) {
		return nil, false
	}
	p.grantLocked(tenants)
	return func() { p.release(tenants) }, true
}

func (p *Places[K]) claim(tenants []K) (*claim[K], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &claim[K]{tenants: tenants, granted: make(chan struct{})}
	if p.has(tenants) { // the waiting claims are beyond the shares of their tenants
		p.grantLocked(tenants)
		close(c.granted)
		return c, nil
	}
	if !p.queue.Take(1, tenants[:1]...) {
		return nil, ErrFull
	}
	p.waiting = append(p.waiting, c)
	return c, nil
}

// has reports whether a place is free for the last of tenants.
func (p *Places[K]) has(tenants []K) bool {
	if p.bounded {
		return p.places.Has(1, tenants...)
	}
	return p.places.Free() > 0
}

func (p *Places[K]) grantLocked(tenants []K) {
	p.places.add(1, tenants)
	p.turn++
	for _, tenant := range tenants {
		p.served[tenant] = p.turn
	}
}

func (p *Places[K]) release(tenants []K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places.Give(1, tenants...)
	p.serveLocked()
	p.forgetLocked(tenants)
}

// drop removes a claim whose context has ended.
func (p *Places[K]) drop(c *claim[K]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, c); i >= 0 {
		p.unqueueLocked(i)
	} else { // it was granted at the same moment
		p.places.Give(1, c.tenants...)
		p.serveLocked()
	}
	p.forgetLocked(c.tenants)
}

func (p *Places[K]) unqueueLocked(i int) {
	p.queue.Give(1, p.waiting[i].tenants[:1]...)
	p.waiting = slices.Delete(p.waiting, i, i+1)
}

// serveLocked gives the free places to the next claims.
func (p *Places[K]) serveLocked() {
	for p.places.Free() > 0 {
		next := -1
		for i, c := range p.waiting {
			if p.has(c.tenants) && (next < 0 || p.before(c.tenants, p.waiting[next].tenants)) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		c := p.waiting[next]
		p.unqueueLocked(next)
		p.grantLocked(c.tenants)
		close(c.granted)
	}
}

// before reports whether a claim of a is served before an earlier one of b.
func (p *Places[K]) before(a, b []K) bool {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if ha, hb := p.places.Held(a[i]), p.places.Held(b[i]); ha != hb {
			return ha < hb
		}
		return p.served[a[i]] < p.served[b[i]]
	}
	return false
}

// forgetLocked removes the turns of tenants that neither hold a place nor wait.
func (p *Places[K]) forgetLocked(tenants []K) {
	for _, tenant := range tenants {
		waits := slices.ContainsFunc(p.waiting, func(c *claim[K]) bool { return slices.Contains(c.tenants, tenant) })
		if !waits && p.places.Held(tenant) == 0 {
			delete(p.served, tenant)
		}
	}
}
