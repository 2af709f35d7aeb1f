package pool

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// boot is the boot of one process for a pool.
type boot[P Process] struct {
	background bool
	hurried    bool
	spawned    bool
	blank      P // set when spawned
}

// serveLocked starts boots for the waiting starts in fair order, at most one for each
// processor at a time, since more would slow each other down.
func (ps *Pools[P]) serveLocked(ctx context.Context) {
	urgent := ps.soloBoots
	for _, p := range ps.all {
		urgent += min(p.comingLocked(), len(p.waiters))
	}
	for ; urgent < ps.o.Processors; urgent++ {
		var in *Pool[P] // nil: next waits for leave
		var next *waiter[P]
		if len(ps.queue) > 0 {
			next = ps.queue[0]
		}
		for _, p := range ps.all {
			if n := p.comingLocked(); n < len(p.waiters) && (next == nil || p.waiters[n].isBefore(next)) {
				in, next = p, p.waiters[n]
			}
		}
		switch {
		case next == nil:
			return
		case in != nil:
			ps.bootLocked(ctx, in, false)
		default:
			ps.soloBoots++
			ps.queue = ps.serveFirstLocked(ps.queue, delivery[P]{leave: true})
		}
	}
}

// comingLocked returns the number of boots that can serve waiting claims. Where boots
// fork, a refill in the background does not count: a fork finishes before it.
func (p *Pool[P]) comingLocked() (n int) {
	if !p.pools.o.Forks(p.name) {
		return len(p.boots)
	}
	for _, b := range p.boots {
		if !b.background {
			n++
		}
	}
	return n
}

// lateRefillsLocked returns the refills for which a claim waits by now.
func (ps *Pools[P]) lateRefillsLocked() (hurried []P) {
	for _, p := range ps.all {
		if ps.o.Forks(p.name) {
			continue
		}
		for _, b := range p.boots[:min(len(p.boots), len(p.waiters))] {
			if b.background && !b.hurried && b.spawned {
				b.hurried = true
				hurried = append(hurried, b.blank)
			}
		}
	}
	return hurried
}

// refillLocked starts refills if no start is waiting, and returns the time until the
// next check.
func (ps *Pools[P]) refillLocked(ctx context.Context, now time.Time) time.Duration {
	again := tendEvery
	urgent := ps.soloBoots > 0 || len(ps.queue) > 0
	for _, p := range ps.all {
		urgent = urgent || len(p.waiters) > 0
	}
	if urgent {
		return again // the end of the waiting wakes Run
	}
	quiet, under := ps.o.Burst.Remaining(now), 0
	for _, p := range ps.all {
		under += len(p.boots)
	}
	for _, p := range slices.SortedStableFunc(slices.Values(ps.all), byNeed) {
		wait, short := p.shortLocked(now)
		if !short {
			continue
		}
		if wait = max(wait, min(quiet, p.short.Add(MaxBurstWait).Sub(now))); wait > 0 {
			again = min(again, wait)
			continue
		}
		wanted := min(refills(len(p.ready), p.size, ps.o.Processors), p.size-len(p.ready)) - len(p.boots)
		for ; wanted > 0 && under < ps.o.Processors; wanted-- {
			ps.bootLocked(ctx, p, true)
			under++
		}
	}
	return again
}

// byNeed orders pools by the ratio of ready processes to their size.
func byNeed[P Process](a, b *Pool[P]) int {
	return cmp.Compare(len(a.ready)*b.size, len(b.ready)*a.size)
}

func (p *Pool[P]) wishLocked(now time.Time) wish {
	floor := max(p.pools.o.Floor, 0)
	w := wish{floor: floor, size: p.demand.size(now, floor), each: p.each}
	if p.always {
		w.size = max(w.size, floor)
	}
	return w
}

// shortLocked reports whether the pool lacks processes that no boot in progress will
// provide, and the remaining wait after a failure.
func (p *Pool[P]) shortLocked(now time.Time) (wait time.Duration, short bool) {
	switch {
	case len(p.ready) >= p.size || !p.found:
		p.short = time.Time{}
		return 0, false
	case p.short.IsZero():
		p.short = now
	}
	return p.retry.Sub(now), len(p.ready)+len(p.boots) < p.size
}

func (ps *Pools[P]) bootLocked(ctx context.Context, p *Pool[P], background bool) {
	b := &boot[P]{background: background}
	p.boots = append(p.boots, b)
	ps.boots.Go(func() { ps.boot(ctx, p, b) })
}

// boot boots a process and gives it to the first waiting claim or to the pool. The
// claim that caused the boot may have been served or canceled by then.
func (ps *Pools[P]) boot(ctx context.Context, p *Pool[P], b *boot[P]) {
	began := time.Now()
	got, err := ps.o.Boot(ctx, p.name, b.background, func(spawned P) {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		b.blank, b.spawned = spawned, true
		if len(p.waiters) > 0 {
			ps.signal()
		}
	})
	var holds int64
	if err == nil {
		holds = got.Memory()
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	defer ps.signal()
	p.boots = slices.DeleteFunc(p.boots, func(other *boot[P]) bool { return other == b })
	if err == nil {
		p.learn(time.Since(began), holds)
	}
	switch {
	case err == nil:
		p.putLocked(got)
	case len(p.waiters) > 0:
		p.nextLocked(delivery[P]{err: err})
	case ctx.Err() == nil:
		p.failures++
		p.retry = time.Now().Add(Backoff(p.failures))
		ps.o.Log.WarnContext(ctx, "could not boot a blank process", "runtime", p.name, "err", err)
	}
}

// learn updates the averages with the duration of a boot and, if known, the memory of
// the process.
func (p *Pool[P]) learn(took time.Duration, holds int64) {
	p.failures = 0
	p.took = (3*p.took + took) / 4
	if holds > 0 {
		p.each = (3*p.each + holds) / 4
	}
}

// Backoff returns a random wait that grows with the number of failures, up to a minute.
func Backoff(failures int) time.Duration {
	most := min(time.Minute, time.Second<<min(failures, 6))
	return most/2 + rand.N(most/2)
}

// Pause waits for d, at most until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
