package pool

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// Pool holds the blank processes of one runtime. The mutex of its Pools guards it.
type Pool[P Process] struct {
	pools *Pools[P]
	name  string // name of the runtime

	always  bool         // the pool keeps its floor even without claims
	found   bool         // the runtime is available on this host
	ready   []P          // ready processes, the newest last
	boots   []*boot[P]   // boots in progress, the oldest first
	waiters []*waiter[P] // waiting claims in fair order
	demand  demand
	size    int       // wanted number of ready processes
	short   time.Time // time since which fewer are ready; zero if enough are

	took     time.Duration // average duration of a boot
	each     int64         // average memory of a process in bytes
	failures int           // consecutive failures of refills
	retry    time.Time     // time of the next refill after a failure
	claimed  [2]uint64     // number of claims that found no ready process, and that did
}

// Tenant is the tenant for which a start waits. Tenants are served by their weights, so
// a tenant with many starts delays only itself.
type Tenant struct {
	Name   string
	Weight int // 0 is 1
}

// waiter is a start that waits for a process, or for leave to boot one.
type waiter[P Process] struct {
	turn     fairqueue.Turn
	sequence uint64           // tie-breaker among equal turns: the lower is first
	got      chan delivery[P] // receives exactly one value
}

// isBefore reports whether w is served before other.
func (w *waiter[P]) isBefore(other *waiter[P]) bool {
	return w.turn < other.turn || w.turn == other.turn && w.sequence < other.sequence
}

// delivery is the result of a wait: a process, leave to boot one, or an error.
type delivery[P Process] struct {
	blank P
	leave bool
	err   error
}

// Need has the pool keep its floor from now on, with or without claims.
func (p *Pool[P]) Need() {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	p.always = true
	p.pools.signal()
}

// Find makes the runtime available on this host, by a download if necessary.
func (p *Pool[P]) Find(ctx context.Context) error {
	if err := p.pools.o.Find(ctx, p.name); err != nil {
		return err
	}
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	if !p.found {
		p.found = true
		p.pools.signal()
	}
	return nil
}

// Ready reports whether a blank process is ready.
func (p *Pool[P]) Ready() bool {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	return len(p.ready) > 0
}

// Use reports whether the runtime is in use, even if its pool is disabled, and whether
// its pool has its floor, or has lacked it for longer than [MaxBurstWait], so that other
// work need not wait for it.
func (p *Pool[P]) Use() (used, filled bool) {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	now, last := time.Now(), p.demand.last
	used = p.found && (p.always || !last.IsZero() && now.Sub(last) <= forgetAfter)
	enough := len(p.ready) >= min(p.size, p.pools.o.Floor)
	return used, enough || !p.short.IsZero() && now.Sub(p.short) > MaxBurstWait
}

// Claim returns a blank process for a tenant, and whether it was ready. If none is
// ready, Claim waits for the oldest boot.
func (p *Pool[P]) Claim(ctx context.Context, t Tenant) (b P, ready bool, err error) {
	p.arrive()
	for b, ok := p.take(); ok; b, ok = p.take() {
		if b.Claim() {
			p.count(true)
			return b, true, nil
		}
	}
	p.count(false)
	if err := p.Find(ctx); err != nil { // a claim does not hold a place in the queue during a download
		return b, false, err
	}
	for {
		d, err := p.pools.wait(ctx, t, &p.waiters)
		switch {
		case err != nil && d.err == nil: // the process arrived after the end of ctx
			p.put(d.blank)
			return b, false, err
		case err != nil:
			return b, false, err
		case d.blank.Claim():
			return d.blank, false, nil
		}
	}
}

// arrive records a claim.
func (p *Pool[P]) arrive() {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	p.demand.claim(time.Now(), p.took/time.Duration(p.pools.o.Processors))
	p.pools.signal()
}

// take removes the newest ready process from the pool.
func (p *Pool[P]) take() (b P, ok bool) {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	n := len(p.ready)
	if n == 0 {
		return b, false
	}
	b, p.ready[n-1] = p.ready[n-1], b
	p.ready = p.ready[:n-1]
	return b, true
}

// put adds a process to the pool, or gives it to the first waiting claim.
func (p *Pool[P]) put(b P) {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	p.putLocked(b)
}

func (p *Pool[P]) putLocked(b P) {
	switch {
	case len(p.waiters) > 0:
		p.nextLocked(delivery[P]{blank: b})
	case p.pools.ended:
		b.Kill()
	default:
		p.ready = append(p.ready, b)
	}
}

// nextLocked serves the first waiting claim.
func (p *Pool[P]) nextLocked(d delivery[P]) {
	p.waiters = p.pools.serveFirstLocked(p.waiters, d)
}

func (p *Pool[P]) count(ready bool) {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	if ready {
		p.claimed[1]++
	} else {
		p.claimed[0]++
	}
}

// hasWaitersLocked reports whether any start waits.
func (ps *Pools[P]) hasWaitersLocked() bool {
	return len(ps.queue) > 0 || slices.ContainsFunc(ps.all, func(p *Pool[P]) bool { return len(p.waiters) > 0 })
}

// serveFirstLocked gives d to the first waiter of a queue, and returns the others.
func (ps *Pools[P]) serveFirstLocked(queue []*waiter[P], d delivery[P]) []*waiter[P] {
	ps.turns.Serve(queue[0].turn)
	queue[0].got <- d
	return slices.Delete(queue, 0, 1)
}

// wait waits in a queue. If ctx ends while a delivery is on its way, wait returns the
// delivery together with the error; otherwise the returned delivery contains the error.
func (ps *Pools[P]) wait(ctx context.Context, t Tenant, queue *[]*waiter[P]) (delivery[P], error) {
	w := &waiter[P]{got: make(chan delivery[P], 1)}
	ps.mu.Lock()
	if ps.ended {
		ps.mu.Unlock()
		return delivery[P]{err: ErrEnded}, ErrEnded
	}
	if !ps.hasWaitersLocked() {
		ps.turns = fairqueue.Turns[string]{} // an empty queue resets the shares, including those of canceled waits
	}
	ps.sequence++
	w.sequence, w.turn = ps.sequence, ps.turns.Take(t.Name, float64(t.Weight))
	at := slices.IndexFunc(*queue, w.isBefore)
	if at < 0 {
		at = len(*queue)
	}
	*queue = slices.Insert(*queue, at, w)
	ps.mu.Unlock()
	ps.signal()
	select {
	case d := <-w.got:
		return d, d.err
	case <-ctx.Done():
	}
	err := context.Cause(ctx)
	ps.mu.Lock()
	at = slices.Index(*queue, w)
	if at >= 0 {
		*queue = slices.Delete(*queue, at, at+1)
	}
	ps.mu.Unlock()
	if at < 0 {
		return <-w.got, err
	}
	return delivery[P]{err: err}, err
}

// Leave waits for leave to boot a process outside the pools for a tenant. The caller
// calls done after the boot. Leave is for starts for which a request waits.
func (ps *Pools[P]) Leave(ctx context.Context, t Tenant) (done func(), err error) {
	d, err := ps.wait(ctx, t, &ps.queue)
	done = func() {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		ps.soloBoots--
		ps.signal()
	}
	if err != nil {
		if d.leave {
			done()
		}
		return nil, err
	}
	return done, nil
}
