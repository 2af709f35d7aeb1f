// Package pool keeps blank processes ahead of those who will claim one: a pool
// of each runtime, as large as its demand was and as memory permits. It boots
// what somebody waits for, one tenant's after the other's, and refills when all is
// quiet. It knows of a runtime but its name.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/rounds"
)

const (
	firstBoot   = 130 * time.Millisecond // a boot takes until one was measured
	firstMemory = 16 << 20               // bytes it holds until one was measured

	tendEvery  = time.Second     // pools fade and processes die unasked
	spareEvery = 5 * time.Second // the host's memory is read
)

// ErrEnded is the error of claims once [Pools.Run] has ended.
var ErrEnded = errors.New("no more processes are booted")

// Process is a blank process. Its methods may be called concurrently.
type Process interface {
	// Claim takes it out of the background; false if it is gone.
	Claim() bool
	// Lost reports whether it is gone.
	Lost() bool
	// Memory is how many bytes it holds; 0 if nobody knows.
	Memory() int64
	// Kill ends it at once.
	Kill()
}

// Options are the settings of [Pools]. All are required.
type Options[P Process] struct {
	// Runtimes are the names of the runtimes, the first wanted first.
	Runtimes []string
	// Floor is how many blank processes a runtime in use has, at least; 0 or
	// less: none ever.
	Floor int
	// Processors is how many boots there are at once.
	Processors int
	// Budget bounds what pools hold beyond their floors, in bytes.
	Budget int64
	// Find makes sure that a runtime is on this host, which may take a download.
	Find func(ctx context.Context, runtime string) error
	// Boot returns a blank process, and tells of it as soon as there is one. In
	// the background it has time.
	Boot func(ctx context.Context, runtime string, background bool, spawned func(P)) (P, error)
	// Forks reports whether Boot, if not in the background, takes but a fork.
	Forks func(runtime string) bool
	// Reserved is how much of the budget others hold, in bytes.
	Reserved func() int64
	// Spare is how much memory the host has left, in bytes.
	Spare func() int64
	// Rush is those who start: refills wait for its end, but not for ever.
	Rush *Rush
	Log  *slog.Logger
}

// Pools are the pools of all runtimes.
type Pools[P Process] struct {
	o     Options[P]
	all   []*Pool[P]
	wake  chan struct{} // holds a token while there is something to look after
	boots sync.WaitGroup

	mu     sync.Mutex // guards below and all that pools have
	turns  rounds.Turns[string]
	came   uint64       // to wait, ever
	line   []*waiter[P] // for leave to boot a process of their own, by turn
	alone  int          // boots with such leave
	spared time.Time    // when the spare memory was read
	spare  int64
	ended  bool
}

// New returns pools that are empty until Run runs.
func New[P Process](o Options[P]) *Pools[P] {
	ps := &Pools[P]{o: o, wake: make(chan struct{}, 1)}
	for _, name := range o.Runtimes {
		ps.all = append(ps.all, &Pool[P]{pools: ps, name: name, took: firstBoot, each: firstMemory})
	}
	return ps
}

// Of returns the pool of a runtime, nil if it has none.
func (ps *Pools[P]) Of(runtime string) *Pool[P] {
	for _, p := range ps.all {
		if p.name == runtime {
			return p
		}
	}
	return nil
}

// Stats is the state of all pools together.
type Stats struct {
	Ready   int // wait for a function
	Booting int // will be
	Target  int // should be ready
	// Blank and Cold count claims, ever: those that found one ready, and those
	// that had to wait for a boot or a fork.
	Blank, Cold uint64
}

// Stats returns the state of all pools together.
func (ps *Pools[P]) Stats() Stats {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var s Stats
	for _, p := range ps.all {
		s.Ready += len(p.ready)
		s.Booting += len(p.boots)
		s.Target += p.size
		s.Cold += p.claimed[0]
		s.Blank += p.claimed[1]
	}
	return s
}

// look has Run look after the pools.
func (ps *Pools[P]) look() {
	select {
	case ps.wake <- struct{}{}:
	default:
	}
}

// Run keeps the pools until ctx ends. Then it ends the processes in them, and
// nobody waits any more.
func (ps *Pools[P]) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ps.wake:
		case <-timer.C:
		case <-ctx.Done():
			ps.boots.Wait()
			ps.end()
			return
		}
		timer.Reset(ps.tend(ctx, time.Now()))
	}
}

func (ps *Pools[P]) end() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.ended = true
	waiting := ps.line
	for _, p := range ps.all {
		waiting = append(waiting, p.waiters...)
		for _, b := range p.ready {
			b.Kill()
		}
		p.ready, p.waiters = nil, nil
	}
	for _, w := range waiting {
		w.got <- delivery[P]{err: ErrEnded}
	}
	ps.line = nil
}

// tend does what is to be done now, and says when to look again at the latest.
func (ps *Pools[P]) tend(ctx context.Context, now time.Time) time.Duration {
	ps.mu.Lock()
	surplus := ps.sizeLocked(now)
	ps.serveLocked(ctx)
	hurried := ps.overtakenLocked()
	again := ps.refillLocked(ctx, now)
	ps.mu.Unlock()
	for _, b := range hurried {
		b.Claim() // one that is gone is noticed by whoever waits for it
	}
	for _, b := range surplus {
		b.Kill()
	}
	return again
}

// sizeLocked sets how large the pools are to be, and returns what is too much.
func (ps *Pools[P]) sizeLocked(now time.Time) (surplus []P) {
	var wishes []wish
	var held, wanted int64
	for _, p := range ps.all {
		p.ready = slices.DeleteFunc(p.ready, P.Lost)
		w := p.wishLocked(now)
		held += int64(len(p.ready)) * w.each
		wanted += int64(w.size) * w.each
		wishes = append(wishes, w)
	}
	if wanted > held && now.Sub(ps.spared) > spareEvery {
		ps.spare, ps.spared = ps.o.Spare(), now
	}
	for i, size := range within(min(ps.o.Budget-ps.o.Reserved(), held+ps.spare/2), wishes) {
		p := ps.all[i]
		p.size = size
		// Some stay: what is killed now is booted anew at the next claim.
		if extra := len(p.ready) - size - size/8; extra > 0 {
			surplus = append(surplus, p.ready[:extra]...)
			p.ready = slices.Clone(p.ready[extra:])
		}
	}
	return surplus
}
