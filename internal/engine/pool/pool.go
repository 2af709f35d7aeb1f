// Package pool keeps blank processes ready to be claimed: one pool for each runtime,
// sized by recent demand and available memory. It boots processes for waiting claims in
// fair order among tenants, and refills pools when no start is in progress. It knows
// nothing about a runtime except its name.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/fairqueue"
)

const (
	firstBoot   = 130 * time.Millisecond // assumed duration of a boot before the first measurement
	firstMemory = 16 << 20               // assumed memory of a process in bytes before the first measurement

	tendEvery      = time.Second     // interval at which pools shrink and lost processes are noticed
	availableEvery = 5 * time.Second // interval at which the host's available memory is read
)

// ErrEnded is the error of claims once [Pools.Run] has ended.
var ErrEnded = errors.New("the process pools have ended")

// Process is a blank process. Its methods may be called concurrently.
type Process interface {
	// Claim takes the process out of the background; false if it has ended.
	Claim() bool
	// Lost reports whether the process has ended.
	Lost() bool
	// Memory returns the bytes that the process holds; 0 if unknown.
	Memory() int64
	// Kill kills the process.
	Kill()
}

// Options are the settings of [Pools]. All are required.
type Options[P Process] struct {
	// Runtimes are the names of the runtimes, the most important first.
	Runtimes []string
	// Floor is the minimum number of blank processes of a runtime in use; 0 or less
	// disables pools.
	Floor int
	// Processors is the number of concurrent boots.
	Processors int
	// Budget bounds the memory of pools beyond their floors, in bytes.
	Budget int64
	// Find makes a runtime available on this host, by a download if necessary.
	Find func(ctx context.Context, runtime string) error
	// Boot returns a blank process. It calls spawned as soon as the process exists.
	// Boots in the background have a low priority.
	Boot func(ctx context.Context, runtime string, background bool, spawned func(P)) (P, error)
	// Forks reports whether Boot, if not in the background, only forks a process.
	Forks func(runtime string) bool
	// Reserved returns the part of the budget that other components hold, in bytes.
	Reserved func() int64
	// Spare returns the available memory of the host, in bytes.
	Spare func() int64
	// Burst tracks the starts in progress: refills wait for their end, up to [MaxBurstWait].
	Burst *Burst
	Log   *slog.Logger
}

// Pools are the pools of all runtimes.
type Pools[P Process] struct {
	o     Options[P]
	all   []*Pool[P]
	wake  chan struct{} // holds a token while Run has work
	boots sync.WaitGroup

	mu          sync.Mutex // guards the fields below and the fields of the pools
	turns       fairqueue.Turns[string]
	sequence    uint64       // number of waiters so far
	queue       []*waiter[P] // starts that wait for leave to boot a process of their own, in fair order
	soloBoots   int          // number of boots with such leave in progress
	availableAt time.Time    // time at which available was read
	available   int64
	ended       bool
}

// New returns pools that are empty until Run runs.
func New[P Process](o Options[P]) *Pools[P] {
	ps := &Pools[P]{o: o, wake: make(chan struct{}, 1)}
	for _, name := range o.Runtimes {
		ps.all = append(ps.all, &Pool[P]{pools: ps, name: name, took: firstBoot, each: firstMemory})
	}
	return ps
}

// Of returns the pool of a runtime, or nil if it has none.
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
	Ready   int // processes that can be claimed
	Booting int // processes being booted
	Target  int // wanted number of ready processes
	// Blank and Cold count all claims so far: those that found a ready process, and
	// those that waited for a boot or a fork.
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

// signal wakes Run.
func (ps *Pools[P]) signal() {
	select {
	case ps.wake <- struct{}{}:
	default:
	}
}

// Run maintains the pools until ctx ends. Then it kills the processes in them and fails
// all waiting claims.
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
	waiting := ps.queue
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
	ps.queue = nil
}

// tend does the work that is due and returns the time until it is due again.
func (ps *Pools[P]) tend(ctx context.Context, now time.Time) time.Duration {
	ps.mu.Lock()
	surplus := ps.sizeLocked(now)
	ps.serveLocked(ctx)
	hurried := ps.lateRefillsLocked()
	again := ps.refillLocked(ctx, now)
	ps.mu.Unlock()
	for _, b := range hurried {
		b.Claim() // the waiting claim notices an ended process
	}
	for _, b := range surplus {
		b.Kill()
	}
	return again
}

// sizeLocked sets the sizes of the pools and returns the surplus processes.
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
	if wanted > held && now.Sub(ps.availableAt) > availableEvery {
		ps.available, ps.availableAt = ps.o.Spare(), now
	}
	for i, size := range within(min(ps.o.Budget-ps.o.Reserved(), held+ps.available/2), wishes) {
		p := ps.all[i]
		p.size = size
		// An eighth more may stay: a killed process costs the next claim a boot.
		if extra := len(p.ready) - size - size/8; extra > 0 {
			surplus = append(surplus, p.ready[:extra]...)
			p.ready = slices.Clone(p.ready[extra:])
		}
	}
	return surplus
}
