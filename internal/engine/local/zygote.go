package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	zygoteInterval    = time.Second
	zygoteForkTimeout = 10 * time.Second // for a fork and its sandbox

	// Processes that are forked from one zygote share its memory layout, and the
	// seed of V8's hash functions: so their number is limited.
	maxZygoteForks = 100
	maxZygoteAge   = 10 * time.Minute // since its first fork

	maxRefusals = 3 // number of forks that the kernel refused in a row, after which zygotes are disabled
)

// zygotes are the processes from which blank processes are forked, one for each
// runtime. They serve starts that find no blank process in the pool.
type zygotes struct {
	mu         sync.Mutex // guards the fields below, and some of each zygote
	off        error      // reason for which zygotes are disabled; nil: they are enabled
	all        map[string]*zygote
	refusals   int               // number of forks that the kernel refused in a row
	bootedTags map[string]string // tags of the code caches that booted processes can read, by runtime

	sandboxes map[string]*emptySandboxes // empty sandboxes for the processes of zygotes, by runtime; it never changes
}

// zygote is a blank process that only forks. It never runs user code.
type zygote struct {
	*process.Process

	mounts  []sandbox.Mount        // mounts of its runtime
	size    int64                  // bytes that it holds
	results chan guest.OrderResult // results of forks

	sending sync.Mutex     // serializes orders
	retired bool           // the zygote takes no more orders; guarded by sending
	pending sync.WaitGroup // forks in progress; none begins after retired

	forks     int       // number of forks; guarded by zygotes
	firstFork time.Time // time of the first fork; guarded by zygotes
}

// openZygotes detects whether this host supports zygotes.
func (e *Engine) openZygotes() {
	e.zygotes.all, e.zygotes.bootedTags, e.zygotes.sandboxes = map[string]*zygote{}, map[string]string{}, map[string]*emptySandboxes{}
	for _, r := range e.runners {
		e.zygotes.sandboxes[r.Name] = new(emptySandboxes)
	}
	switch {
	case e.o.NoZygotes:
		e.zygotes.off = errors.New("disabled by the configuration")
	case e.o.Unsandboxed:
		e.zygotes.off = errors.New("functions run without a sandbox")
	case !guest.Forks():
		e.zygotes.off = errors.New("no fork library for this architecture")
	default:
		e.zygotes.off = e.host.Sandbox.Zygotes()
	}
}

// Zygotes returns the reason for which zygotes are disabled, or nil.
func (e *Engine) Zygotes() error {
	e.zygotes.mu.Lock()
	defer e.zygotes.mu.Unlock()
	return e.zygotes.off
}

// of returns the live zygote of a runtime, or nil.
func (zs *zygotes) of(r *process.Runner) *zygote {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if z := zs.all[r.Name]; z != nil && zs.off == nil && !z.Gone() {
		return z
	}
	return nil
}

// memory returns the bytes that all zygotes hold.
func (zs *zygotes) memory() (sum int64) {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	for _, z := range zs.all {
		sum += z.size
	}
	return sum
}

// reserved returns the bytes that zygotes and empty sandboxes hold.
func (e *Engine) reserved() int64 {
	sum := e.zygotes.memory()
	for _, ready := range e.zygotes.sandboxes {
		sum += int64(ready.count()) * emptySandboxMemory
	}
	return sum
}

// exhausted reports whether a zygote has reached its limit of forks or of age.
func (zs *zygotes) exhausted(z *zygote, now time.Time) bool {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	return z.forks >= maxZygoteForks || z.forks > 0 && now.Sub(z.firstFork) > maxZygoteAge
}

// record records the result of a fork. After repeated refusals of the kernel it
// disables zygotes and returns false. A zygote that is slow, or that ends, gets a
// successor.
func (zs *zygotes) record(z *zygote, err error) bool {
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
func (zs *zygotes) put(r *process.Runner, z *zygote) {
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

// tag records the tag of the code caches that booted processes of a runtime can
// read, if it is not "", and returns the latest one.
func (zs *zygotes) tag(r *process.Runner, booted string) string {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if booted != "" {
		zs.bootedTags[r.Name] = booted
	}
	return zs.bootedTags[r.Name]
}

// manageZygotes starts and replaces the zygotes of the runtimes in use until ctx
// ends.
func (e *Engine) manageZygotes(ctx context.Context) {
	if why := e.Zygotes(); why != nil {
		e.o.Log.InfoContext(ctx, "zygotes disabled; all blank processes are booted", "why", why)
		return
	}
	for failures := 0; ctx.Err() == nil; {
		var err error
		for _, r := range e.runners {
			if r.Forks {
				err = errors.Join(err, e.manageZygote(ctx, r))
			}
		}
		wait := zygoteInterval
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			e.o.Log.WarnContext(ctx, "could not start a zygote", "err", err)
			wait += pool.Backoff(failures)
		}
		pool.Pause(ctx, wait)
	}
}

func (e *Engine) manageZygote(ctx context.Context, r *process.Runner) error {
	z := e.zygotes.of(r)
	switch used, filled := r.Blanks.Use(); {
	case !used || e.Zygotes() != nil:
		e.zygotes.put(r, nil)
		return nil
	case !filled, z != nil && !e.zygotes.exhausted(z, time.Now()):
		return nil // filling the pool has priority over a zygote
	}
	z, err := e.bootZygote(ctx, r)
	if err == nil {
		e.zygotes.put(r, z)
	}
	return err
}

// bootZygote boots a zygote.
func (e *Engine) bootZygote(ctx context.Context, r *process.Runner) (*zygote, error) {
	ctx, cancel := e.host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	program, err := r.Find(ctx)
	if err != nil {
		return nil, err
	}
	shaped := r.Forking(e.forkLibrary())
	shaped.Name = r.Name + " zygote"
	w, err := e.host.Boot(ctx, process.BootOptions{Runner: shaped, Background: true, Zygote: true})
	if err != nil {
		return nil, err
	}
	z := &zygote{Process: w, mounts: program.Mounts, size: w.Memory(), results: make(chan guest.OrderResult, 1)}
	w.Deliver(z.receive)
	library := func(name string) string { return guestAgent + "/" + name }
	err = guest.Write(w.Control(), guest.TypeZygote, guest.Zygote{Fork: library(guest.ForkLibrary), Enter: library(guest.ZygoteLibrary)})
	if err == nil {
		err = z.awaitResult(ctx)
	}
	if err == nil && !w.Claim() { // otherwise the forked processes would have background priority
		err = errors.New("the process ended right after its boot")
	}
	if err != nil {
		w.Kill()
		return nil, fmt.Errorf("make a zygote of %s: %w", r.Name, err)
	}
	return z, nil
}

func (z *zygote) receive(m guest.Message) {
	var b guest.OrderResult
	if m.Type != guest.TypeOrderResult || m.Into(&b) != nil {
		return
	}
	select {
	case z.results <- b:
	default: // the engine expects no result
	}
}

// refusedError is a fork that the kernel refused.
type refusedError struct{ error }

// Error returns the kernel's error.
func (s refusedError) Error() string { return "fork into the sandbox: " + s.error.Error() }

// errRetired means that another zygote has replaced this one.
var errRetired = errors.New("the zygote is retired")

// retire ends a zygote. Processes that it forked keep running.
func (z *zygote) retire() {
	z.sending.Lock()
	z.retired = true
	z.sending.Unlock()
	z.pending.Wait() // until a forked process has its own cgroup, it ends with the zygote
	z.sending.Lock()
	defer z.sending.Unlock()
	if c, ok := z.Control().(*net.UnixConn); ok {
		_ = c.CloseWrite() // it fails only if the zygote has ended
	}
}

// forkBlank forks a blank process from the zygote of a runtime; nil if the runtime
// has none or the fork fails, and the caller must boot a process.
func (e *Engine) forkBlank(ctx context.Context, r *process.Runner) *process.Process {
	z := e.zygotes.of(r)
	if z == nil {
		return nil
	}
	w, err := e.forkIntoSandbox(ctx, z, e.zygotes.sandboxes[r.Name])
	if errors.Is(err, errRetired) {
		return e.forkBlank(ctx, r)
	}
	if err != nil && (ctx.Err() != nil || e.host.Ending()) {
		return nil
	}
	more := e.zygotes.record(z, err)
	if err == nil {
		w.BootedTag = e.zygotes.tag(r, "")
		return w
	}
	z.Kill()
	e.o.Log.WarnContext(ctx, "zygote dropped", "runtime", r.Name, "err", err, "others_follow", more)
	return nil
}

// forkIntoSandbox forks a process from a zygote into a sandbox of its own, and
// returns it when it waits for a function.
func (e *Engine) forkIntoSandbox(ctx context.Context, z *zygote, ready *emptySandboxes) (*process.Process, error) {
	ctx, cancel := e.host.WithTimeout(ctx, zygoteForkTimeout)
	defer cancel()
	into, err := e.takeSandbox(ctx, ready, z.mounts)
	if err != nil {
		return nil, err
	}
	w, err := z.fork(ctx, e.host, into)
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

// fork makes the zygote fork a process into an empty sandbox, which it destroys on
// an error.
func (z *zygote) fork(ctx context.Context, h *process.Host, into *emptySandbox) (*process.Process, error) {
	if !z.beginFork() {
		into.destroy()
		return nil, errRetired
	}
	defer z.pending.Done()
	return h.ForkInto(ctx, z.Process, into.process, into.link, func(ends []*os.File) error { return z.order(ctx, into.process, ends) })
}

// order makes the zygote fork a process with these ends, and returns when it has
// reported the result.
func (z *zygote) order(ctx context.Context, into *sandbox.Process, ends []*os.File) error {
	message, keeper, err := into.Order()
	if err != nil {
		return err
	}
	defer keeper.Close()
	z.sending.Lock()
	defer z.sending.Unlock()
	deadline, _ := ctx.Deadline()
	if err := z.Send(message, slices.Concat(ends, []*os.File{keeper}), deadline); err != nil {
		return err
	}
	return z.awaitResult(ctx)
}

// beginFork registers a fork for which retire waits; false if the zygote is retired.
func (z *zygote) beginFork() bool {
	z.sending.Lock()
	defer z.sending.Unlock()
	if !z.retired {
		z.pending.Add(1)
	}
	return !z.retired
}

// awaitResult waits for the result of the last order.
func (z *zygote) awaitResult(ctx context.Context) error {
	var b guest.OrderResult
	select {
	case b = <-z.results:
	case <-z.Exited:
		select {
		case b = <-z.results: // the zygote answered, and then ended
		default:
			return fmt.Errorf("the zygote ended: %s", z.State)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if b.Error != 0 {
		return refusedError{syscall.Errno(b.Error)}
	}
	return nil
}
