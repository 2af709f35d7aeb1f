package pool

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen/internal/rounds"
)

// Pool is the blank processes of one runtime. Its pools guard it.
type Pool[P Process] struct {
	pools *Pools[P]
	name  string // of the runtime

	always  bool         // also where nobody has claimed one yet
	found   bool         // the runtime is here
	ready   []P          // the latest last
	boots   []*boot[P]   // under way, the furthest along first
	waiters []*waiter[P] // by turn
	demand  demand
	size    int       // how many should be ready
	short   time.Time // since when they are fewer; zero if they are not

	took     time.Duration // by a boot, on average
	each     int64         // bytes that one holds, on average
	failures int           // of refills, in a row
	retry    time.Time     // after the last
	claimed  [2]uint64     // claims that found none ready, and that did
}

// Tenant is on whose behalf somebody waits: tenants are served by their weights,
// and who brings many of its own waits for itself.
type Tenant struct {
	Name   string
	Weight int // 0 is 1
}

// waiter is a start that waits for a process, or for leave to boot one.
type waiter[P Process] struct {
	turn rounds.Turn
	came uint64           // before those of the same turn with a greater one
	got  chan delivery[P] // takes one
}

// isBefore reports whether it is w's turn before it is other's.
func (w *waiter[P]) isBefore(other *waiter[P]) bool {
	return w.turn < other.turn || w.turn == other.turn && w.came < other.came
}

// delivery is what it gets: a process, leave, or an error.
type delivery[P Process] struct {
	blank P
	leave bool
	err   error
}

// Need has the pool keep its floor from now on, whether or not anybody claims.
func (p *Pool[P]) Need() {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	p.always = true
	p.pools.look()
}

// Find makes sure that the runtime is here, which may take a download.
func (p *Pool[P]) Find(ctx context.Context) error {
	if err := p.pools.o.Find(ctx, p.name); err != nil {
		return err
	}
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	if !p.found {
		p.found = true
		p.pools.look()
	}
	return nil
}

// Ready reports whether a blank process is ready.
func (p *Pool[P]) Ready() bool {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	return len(p.ready) > 0
}

// Use reports whether the runtime is in use, even where no blank processes are
// kept, and whether its pool has its floor, or has been short of it for so long
// that others need not wait for that.
func (p *Pool[P]) Use() (used, filled bool) {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	now, last := time.Now(), p.demand.last
	used = p.found && (p.always || !last.IsZero() && now.Sub(last) <= forgetAfter)
	enough := len(p.ready) >= min(p.size, p.pools.o.Floor)
	return used, enough || !p.short.IsZero() && now.Sub(p.short) > Patience
}

// Claim returns a blank process for a tenant, and whether it was ready. Where none
// is, the boot that is furthest along is waited for.
func (p *Pool[P]) Claim(ctx context.Context, t Tenant) (b P, ready bool, err error) {
	p.arrive()
	for b, ok := p.take(); ok; b, ok = p.take() {
		if b.Claim() {
			p.count(true)
			return b, true, nil
		}
	}
	p.count(false)
	if err := p.Find(ctx); err != nil { // nobody waits in line for a download
		return b, false, err
	}
	for {
		d, err := p.pools.wait(ctx, t, &p.waiters)
		switch {
		case err != nil && d.err == nil: // it came when ctx had ended
			p.put(d.blank)
			return b, false, err
		case err != nil:
			return b, false, err
		case d.blank.Claim():
			return d.blank, false, nil
		}
	}
}

// arrive takes note of a claim.
func (p *Pool[P]) arrive() {
	p.pools.mu.Lock()
	defer p.pools.mu.Unlock()
	p.demand.claim(time.Now(), p.took/time.Duration(p.pools.o.Processors))
	p.pools.look()
}

// take takes the process out that is ready since the shortest time.
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

// put puts a process in, or gives it to whoever waits for one.
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

// nextLocked gives the first of those who wait what there is.
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

// waitedLocked reports whether anybody waits.
func (ps *Pools[P]) waitedLocked() bool {
	return len(ps.line) > 0 || slices.ContainsFunc(ps.all, func(p *Pool[P]) bool { return len(p.waiters) > 0 })
}

// serveFirstLocked gives the first of a line what there is, and returns the others.
func (ps *Pools[P]) serveFirstLocked(line []*waiter[P], d delivery[P]) []*waiter[P] {
	ps.turns.Serve(line[0].turn)
	line[0].got <- d
	return slices.Delete(line, 0, 1)
}

// wait waits in a line for what its first gets. Where ctx ends while that comes,
// it is returned beside the error; else the delivery has the error, too.
func (ps *Pools[P]) wait(ctx context.Context, t Tenant, line *[]*waiter[P]) (delivery[P], error) {
	w := &waiter[P]{got: make(chan delivery[P], 1)}
	ps.mu.Lock()
	if ps.ended {
		ps.mu.Unlock()
		return delivery[P]{err: ErrEnded}, ErrEnded
	}
	if !ps.waitedLocked() {
		ps.turns = rounds.Turns[string]{} // nobody owes anything, nor for what was not waited for to the end
	}
	ps.came++
	w.came, w.turn = ps.came, ps.turns.Take(t.Name, float64(t.Weight))
	at := slices.IndexFunc(*line, w.isBefore)
	if at < 0 {
		at = len(*line)
	}
	*line = slices.Insert(*line, at, w)
	ps.mu.Unlock()
	ps.look()
	select {
	case d := <-w.got:
		return d, d.err
	case <-ctx.Done():
	}
	err := context.Cause(ctx)
	ps.mu.Lock()
	at = slices.Index(*line, w)
	if at >= 0 {
		*line = slices.Delete(*line, at, at+1)
	}
	ps.mu.Unlock()
	if at < 0 {
		return <-w.got, err
	}
	return delivery[P]{err: err}, err
}

// Leave waits for leave to boot a process that no pool has for a tenant, and
// returns what gives it back. It is for what somebody waits for.
func (ps *Pools[P]) Leave(ctx context.Context, t Tenant) (done func(), err error) {
	d, err := ps.wait(ctx, t, &ps.line)
	done = func() {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		ps.alone--
		ps.look()
	}
	if err != nil {
		if d.leave {
			done()
		}
		return nil, err
	}
	return done, nil
}
