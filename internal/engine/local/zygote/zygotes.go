// Package zygote keeps processes from which blank processes are forked, and forks them
// into sandboxes that are ready.
package zygote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	interval    = time.Second
	forkTimeout = 10 * time.Second // for a fork and its sandbox

	// Processes that are forked from one zygote share its memory layout, and the
	// seed of V8's hash functions: so their number is limited.
	maxForks = 100
	maxAge   = 10 * time.Minute // since its first fork

	maxRefusals = 3 // number of forks that the kernel refused in a row, after which zygotes are disabled
)

// Options are the settings of [Zygotes].
type Options struct {
	Runners   []*process.Runner
	Tags      *process.Tags
	Burst     *pool.Burst // empty sandboxes are created while it is quiet
	Libraries string      // directory of the libraries for forking, as a process sees it
	Disabled  error       // the reason for which zygotes are disabled; nil: the host decides
}

// Zygotes are the processes from which blank processes are forked, one for each
// runtime. They serve starts that find no blank process in the pool.
type Zygotes struct {
	host      *process.Host
	runners   []*process.Runner
	tags      *process.Tags
	burst     *pool.Burst
	libraries string
	sandboxes map[string]*emptySandboxes // empty sandboxes for the processes of zygotes, by runtime; it never changes

	mu       sync.Mutex // guards the fields below, and some of each zygote
	off      error      // reason for which zygotes are disabled; nil: they are enabled
	all      map[string]*Zygote
	refusals int // number of forks that the kernel refused in a row
}

// New detects whether this host supports zygotes. None exist until Run runs.
func New(h *process.Host, o Options) *Zygotes {
	zs := &Zygotes{
		host: h, runners: o.Runners, tags: o.Tags, burst: o.Burst, libraries: o.Libraries,
		sandboxes: map[string]*emptySandboxes{}, all: map[string]*Zygote{}, off: o.Disabled,
	}
	for _, r := range o.Runners {
		zs.sandboxes[r.Name] = new(emptySandboxes)
	}
	switch {
	case zs.off != nil:
	case !guest.Forks():
		zs.off = errors.New("no fork library for this architecture")
	default:
		zs.off = h.Sandbox.Zygotes()
	}
	return zs
}

// Run keeps a zygote for each runtime in use, and empty sandboxes for its processes,
// until ctx ends.
func (zs *Zygotes) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { zs.manage(ctx) })
	loops.Go(func() { zs.stockSandboxes(ctx) })
	loops.Wait()
}

// Disabled returns the reason for which zygotes are disabled, or nil.
func (zs *Zygotes) Disabled() error {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	return zs.off
}

// Of returns the live zygote of a runtime, or nil.
func (zs *Zygotes) Of(r *process.Runner) *Zygote {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if z := zs.all[r.Name]; z != nil && zs.off == nil && !z.Gone() {
		return z
	}
	return nil
}

// memory returns the bytes that all zygotes hold.
func (zs *Zygotes) memory() (sum int64) {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	for _, z := range zs.all {
		sum += z.size
	}
	return sum
}

// Reserved returns the bytes that zygotes and empty sandboxes hold.
func (zs *Zygotes) Reserved() int64 {
	sum := zs.memory()
	for _, ready := range zs.sandboxes {
		sum += int64(ready.count()) * emptySandboxMemory
	}
	return sum
}

// Sandboxes returns the number of empty sandboxes that a runtime has ready.
func (zs *Zygotes) Sandboxes(r *process.Runner) int { return zs.sandboxes[r.Name].count() }

// exhausted reports whether a zygote has reached its limit of forks or of age.
func (zs *Zygotes) exhausted(z *Zygote, now time.Time) bool {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	return z.forks >= maxForks || z.forks > 0 && now.Sub(z.firstFork) > maxAge
}

// record records the result of a fork. After repeated refusals of the kernel it
// disables zygotes and returns false. A zygote that is slow, or that ends, gets a
// successor.
func (zs *Zygotes) record(z *Zygote, err error) bool {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if err == nil {
		if zs.refusals = 0; z.forks == 0 {
			z.firstFork = time.Now()
		}
		z.forks++
		return true
	}
	var refused refusedError
	if !errors.As(err, &refused) {
		return zs.off == nil
	}
	if zs.refusals++; zs.refusals == maxRefusals {
		zs.off = fmt.Errorf("forks failed repeatedly: %w", err)
	}
	return zs.off == nil
}

// put replaces the zygote of a runtime, by none if z is nil, and retires the old one.
func (zs *Zygotes) put(r *process.Runner, z *Zygote) {
	zs.mu.Lock()
	before := zs.all[r.Name]
	if zs.all[r.Name] = z; z == nil {
		delete(zs.all, r.Name)
	}
	zs.mu.Unlock()
	if before != nil {
		before.retire()
	}
}

// manage starts and replaces the zygotes of the runtimes in use until ctx
// ends.
func (zs *Zygotes) manage(ctx context.Context) {
	if why := zs.Disabled(); why != nil {
		zs.host.Log.InfoContext(ctx, "zygotes disabled; all blank processes are booted", "why", why)
		return
	}
	for failures := 0; ctx.Err() == nil; {
		var err error
		for _, r := range zs.runners {
			if r.Forks {
				err = errors.Join(err, zs.manageOne(ctx, r))
			}
		}
		wait := interval
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			zs.host.Log.WarnContext(ctx, "could not start a zygote", "err", err)
			wait += pool.Backoff(failures)
		}
		pool.Pause(ctx, wait)
	}
}

func (zs *Zygotes) manageOne(ctx context.Context, r *process.Runner) error {
	z := zs.Of(r)
	switch used, filled := r.Blanks.Use(); {
	case !used || zs.Disabled() != nil:
		zs.put(r, nil)
		return nil
	case !filled, z != nil && !zs.exhausted(z, time.Now()):
		return nil // filling the pool has priority over a zygote
	}
	return zs.Renew(ctx, r)
}

// Renew boots a zygote of a runtime, which replaces the present one.
func (zs *Zygotes) Renew(ctx context.Context, r *process.Runner) error {
	z, err := zs.boot(ctx, r)
	if err == nil {
		zs.put(r, z)
	}
	return err
}

// Fork forks a blank process from the zygote of a runtime; nil if the runtime
// has none or the fork fails, and the caller must boot a process.
func (zs *Zygotes) Fork(ctx context.Context, r *process.Runner) *process.Process {
	z := zs.Of(r)
	if z == nil {
		return nil
	}
	w, err := zs.forkIntoSandbox(ctx, z, zs.sandboxes[r.Name])
	if errors.Is(err, errRetired) {
		return zs.Fork(ctx, r)
	}
	if err != nil && (ctx.Err() != nil || zs.host.Ending()) {
		return nil
	}
	more := zs.record(z, err)
	if err == nil {
		w.BootedTag = zs.tags.Of(r)
		return w
	}
	z.Kill()
	zs.host.Log.WarnContext(ctx, "zygote dropped", "runtime", r.Name, "err", err, "others_follow", more)
	return nil
}

// forkIntoSandbox forks a process from a zygote into a sandbox of its own, and
// returns it when it waits for a function.
func (zs *Zygotes) forkIntoSandbox(ctx context.Context, z *Zygote, ready *emptySandboxes) (*process.Process, error) {
	ctx, cancel := zs.host.WithTimeout(ctx, forkTimeout)
	defer cancel()
	into, err := zs.takeSandbox(ctx, ready, z.mounts)
	if err != nil {
		return nil, err
	}
	w, err := z.fork(ctx, zs.host, into)
	if err != nil {
		return nil, err
	}
	if err := w.WarmUp(ctx, nil); err != nil {
		w.Kill()
		<-w.Exited
		return nil, fmt.Errorf("%w%s", err, w.Output.LastOutput())
	}
	return w, nil
}
