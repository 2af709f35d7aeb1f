package local

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	firstBoot   = 130 * time.Millisecond // a boot takes until one was measured
	firstMemory = 16 << 20               // bytes it holds until one was measured

	keepEvery  = time.Second           // pools fade and processes die unasked
	askBusy    = 20 * time.Millisecond // whether starts are still under way
	spareEvery = 5 * time.Second       // the host's memory is read
)

// blank is a process that waits for a function.
type blank interface {
	// claim takes it out of the background; false if it is gone.
	claim() bool
	// lost reports whether it is gone.
	lost() bool
	// memory is how many bytes it holds; 0 if nobody knows.
	memory() int64
	kill()
}

// keeperOptions are the settings of a keeper. All are required.
type keeperOptions struct {
	floor      int // blank processes of a runtime in use, at least; 0 or less: none ever
	processors int // boots at once that somebody waits for
	budget     int64
	// boot returns a blank process, and tells of it as soon as there is one.
	boot func(ctx context.Context, r *runner, background bool, spawned func(blank)) (blank, error)
	// forks reports whether boot, if not in the background, takes but a fork.
	forks func(*runner) bool
	// reserved is how much of the budget others hold, in bytes.
	reserved func() int64
	// busy reports whether starts are under way.
	busy func() bool
	// spare is how much memory the host has left, in bytes.
	spare func() int64
	log   *slog.Logger
}

// keeper keeps the pools of all runtimes: it boots what somebody waits for,
// first come first served, and when all is quiet what somebody will.
type keeper struct {
	o     keeperOptions
	pools []*pool
	wake  chan struct{} // holds a token while there is something to look after
	boots sync.WaitGroup

	mu     sync.Mutex // guards below and all that pools have
	turns  uint64     // handed out to those who wait
	line   []*waiter  // for leave to boot a process of their own
	alone  int        // boots with such leave
	last   time.Time  // of all claims
	spared time.Time  // when the spare memory was read
	spare  int64
	ended  bool
}

// waiter is a start that waits for a process, or for leave to boot one.
type waiter struct {
	turn uint64
	got  chan delivery // takes one
}

// delivery is what it gets: one of the three.
type delivery struct {
	blank blank
	leave bool
	err   error
}

// boot is a process on its way into a pool.
type boot struct {
	background bool
	hurried    bool
	blank      blank // nil until it is spawned
}

func newKeeper(o keeperOptions, runners []*runner) *keeper {
	k := &keeper{o: o, wake: make(chan struct{}, 1)}
	for _, r := range runners {
		k.pools = append(k.pools, &pool{runner: r, keeper: k, took: firstBoot, each: firstMemory})
	}
	return k
}

// look has run look after the pools.
func (k *keeper) look() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the pools until ctx ends. Then it ends the processes in them, and
// nobody waits any more.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.wake:
		case <-timer.C:
		case <-ctx.Done():
			k.boots.Wait()
			k.end()
			return
		}
		timer.Reset(k.tend(ctx, time.Now()))
	}
}

func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	waiting := k.line
	for _, p := range k.pools {
		waiting = append(waiting, p.waiters...)
		for _, b := range p.ready {
			b.kill()
		}
		p.ready, p.waiters = nil, nil
	}
	for _, w := range waiting {
		w.got <- delivery{err: sandbox.ErrEnded}
	}
	k.line = nil
}

// tend does what is to be done now, and says when to look again at the latest.
func (k *keeper) tend(ctx context.Context, now time.Time) time.Duration {
	k.mu.Lock()
	killed := k.sizeLocked(now)
	k.serveLocked(ctx)
	hurried := k.overtakenLocked()
	again := k.refillLocked(ctx, now)
	k.mu.Unlock()
	for _, b := range hurried {
		b.claim() // one that is gone is noticed by whoever waits for it
	}
	for _, b := range killed {
		b.kill()
	}
	return again
}

// sizeLocked sets how large the pools are to be, and returns what is too much.
func (k *keeper) sizeLocked(now time.Time) (surplus []blank) {
	var wishes []wish
	var held, wanted int64
	for _, p := range k.pools {
		p.ready = slices.DeleteFunc(p.ready, blank.lost)
		w := p.wishLocked(now)
		held += int64(len(p.ready)) * w.each
		wanted += int64(w.size) * w.each
		wishes = append(wishes, w)
	}
	if wanted > held && now.Sub(k.spared) > spareEvery {
		k.spare, k.spared = k.o.spare(), now
	}
	for i, size := range within(min(k.o.budget-k.o.reserved(), held+k.spare/2), wishes) {
		p := k.pools[i]
		p.size = size
		// Some stay: what is killed now is booted anew at the next claim.
		if extra := len(p.ready) - size - size/8; extra > 0 {
			surplus = append(surplus, p.ready[:extra]...)
			p.ready = slices.Clone(p.ready[extra:])
		}
	}
	return surplus
}

// serveLocked boots for those who wait: as many at once as do not slow each
// other down, whoever came first.
func (k *keeper) serveLocked(ctx context.Context) {
	urgent := k.alone
	for _, p := range k.pools {
		urgent += min(p.comingLocked(), len(p.waiters))
	}
	for ; urgent < k.o.processors; urgent++ {
		var first *pool
		turn := uint64(1<<64 - 1)
		for _, p := range k.pools {
			if n := p.comingLocked(); n < len(p.waiters) && p.waiters[n].turn < turn {
				first, turn = p, p.waiters[n].turn
			}
		}
		switch {
		case len(k.line) > 0 && k.line[0].turn < turn:
			k.alone++
			k.line[0].got <- delivery{leave: true}
			k.line = k.line[1:]
		case first != nil:
			k.bootLocked(ctx, first, false)
		default:
			return
		}
	}
}

// comingLocked is how many boots those who wait may hope for: a fork is there
// before a refill is.
func (p *pool) comingLocked() (n int) {
	if !p.keeper.o.forks(p.runner) {
		return len(p.boots)
	}
	for _, b := range p.boots {
		if !b.background {
			n++
		}
	}
	return n
}

// overtakenLocked returns refills that somebody has come to wait for.
func (k *keeper) overtakenLocked() (hurried []blank) {
	for _, p := range k.pools {
		if k.o.forks(p.runner) {
			continue
		}
		for _, b := range p.boots[:min(len(p.boots), len(p.waiters))] {
			if b.background && !b.hurried && b.blank != nil {
				b.hurried = true
				hurried = append(hurried, b.blank)
			}
		}
	}
	return hurried
}

// refillLocked boots what pools are short of once nobody is in its way, and
// says when to look again.
func (k *keeper) refillLocked(ctx context.Context, now time.Time) time.Duration {
	again := keepEvery
	urgent := k.alone > 0 || len(k.line) > 0
	for _, p := range k.pools {
		urgent = urgent || len(p.waiters) > 0
	}
	if urgent {
		return again // its end is told
	}
	quiet := k.last.Add(quietAfter).Sub(now)
	if quiet <= 0 && k.o.busy() {
		quiet = askBusy
	}
	under := 0
	for _, p := range k.pools {
		under += len(p.boots)
	}
	for _, p := range slices.SortedStableFunc(slices.Values(k.pools), byNeed) {
		wait, short := p.shortLocked(now)
		if !short {
			continue
		}
		if wait = max(wait, min(quiet, p.short.Add(patience).Sub(now))); wait > 0 {
			again = min(again, wait)
			continue
		}
		wanted := min(refills(len(p.ready), p.size, k.o.processors), p.size-len(p.ready)) - len(p.boots)
		for ; wanted > 0 && under < k.o.processors; wanted-- {
			k.bootLocked(ctx, p, true)
			under++
		}
	}
	return again
}

// byNeed orders pools by how much of what they should have they lack.
func byNeed(a, b *pool) int {
	return cmp.Compare(len(a.ready)*b.size, len(b.ready)*a.size)
}

func (k *keeper) bootLocked(ctx context.Context, p *pool, background bool) {
	b := &boot{background: background}
	p.boots = append(p.boots, b)
	k.boots.Go(func() { k.boot(ctx, p, b) })
}

// boot boots a process and gives it to whoever waits for one. What it booted for
// may be served or gone by then.
func (k *keeper) boot(ctx context.Context, p *pool, b *boot) {
	began := time.Now()
	got, err := k.o.boot(ctx, p.runner, b.background, func(spawned blank) {
		k.mu.Lock()
		defer k.mu.Unlock()
		b.blank = spawned
		if len(p.waiters) > 0 {
			k.look()
		}
	})
	var holds int64
	if err == nil {
		holds = got.memory()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.look()
	p.boots = slices.DeleteFunc(p.boots, func(other *boot) bool { return other == b })
	if err == nil {
		p.learn(time.Since(began), holds)
	}
	switch {
	case err == nil:
		p.putLocked(got)
	case len(p.waiters) > 0:
		p.nextLocked(delivery{err: err})
	case ctx.Err() == nil:
		p.failures++
		p.retry = time.Now().Add(backoff(p.failures))
		k.o.log.WarnContext(ctx, "no blank process", "runtime", p.runner.name, "err", err)
	}
}

// backoff is longer the more often something has failed, up to a minute.
func backoff(failures int) time.Duration {
	most := min(time.Minute, time.Second<<min(failures, 6))
	return most/2 + rand.N(most/2)
}

// wait waits in a line for what its first gets. Where ctx ends while that comes
// it is returned beside the error.
func (k *keeper) wait(ctx context.Context, line *[]*waiter) (delivery, error) {
	w := &waiter{got: make(chan delivery, 1)}
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		return delivery{}, sandbox.ErrEnded
	}
	k.turns++
	w.turn = k.turns
	*line = append(*line, w)
	k.mu.Unlock()
	k.look()
	select {
	case d := <-w.got:
		return d, d.err
	case <-ctx.Done():
	}
	k.mu.Lock()
	at := slices.Index(*line, w)
	if at >= 0 {
		*line = slices.Delete(*line, at, at+1)
	}
	k.mu.Unlock()
	if at < 0 {
		return <-w.got, context.Cause(ctx)
	}
	return delivery{}, context.Cause(ctx)
}

// leave waits for leave to boot a process that no pool has, and returns what
// gives it back. It is for what somebody waits for.
func (k *keeper) leave(ctx context.Context) (done func(), err error) {
	d, err := k.wait(ctx, &k.line)
	done = func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.alone--
		k.look()
	}
	if err != nil {
		if d.leave {
			done()
		}
		return nil, err
	}
	return done, nil
}
