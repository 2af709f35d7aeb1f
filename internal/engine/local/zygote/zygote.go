package zygote

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
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// Zygote is a blank process that only forks. It never runs user code.
type Zygote struct {
	*process.Process

	mounts  []sandbox.Mount        // mounts of its runtime
	size    int64                  // bytes that it holds
	results chan guest.OrderResult // results of forks

	sending sync.Mutex     // serializes orders
	retired bool           // the zygote takes no more orders; guarded by sending
	pending sync.WaitGroup // forks in progress; none begins after retired

	forks     int       // number of forks; guarded by Zygotes
	firstFork time.Time // time of the first fork; guarded by Zygotes
}

// boot boots a zygote.
func (zs *Zygotes) boot(ctx context.Context, r *process.Runner) (*Zygote, error) {
	ctx, cancel := zs.host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	program, err := r.Find(ctx)
	if err != nil {
		return nil, err
	}
	library := func(name string) string { return zs.libraries + "/" + name }
	shaped := r.Forking(library(guest.ForkLibrary))
	shaped.Name = r.Name + " zygote"
	w, err := zs.host.Boot(ctx, process.BootOptions{Runner: shaped, Background: true, Zygote: true})
	if err != nil {
		return nil, err
	}
	z := &Zygote{Process: w, mounts: program.Mounts, size: w.Memory(), results: make(chan guest.OrderResult, 1)}
	w.Deliver(z.receive)
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

func (z *Zygote) receive(m guest.Message) {
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
func (z *Zygote) retire() {
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

// fork makes the zygote fork a process into an empty sandbox, which it destroys on
// an error.
func (z *Zygote) fork(ctx context.Context, h *process.Host, into *emptySandbox) (*process.Process, error) {
	if !z.beginFork() {
		into.destroy()
		return nil, errRetired
	}
	defer z.pending.Done()
	return h.ForkInto(ctx, z.Process, into.process, into.link, func(ends []*os.File) error { return z.order(ctx, into.process, ends) })
}

// order makes the zygote fork a process with these ends, and returns when it has
// reported the result.
func (z *Zygote) order(ctx context.Context, into *sandbox.Process, ends []*os.File) error {
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
func (z *Zygote) beginFork() bool {
	z.sending.Lock()
	defer z.sending.Unlock()
	if !z.retired {
		z.pending.Add(1)
	}
	return !z.retired
}

// awaitResult waits for the result of the last order.
func (z *Zygote) awaitResult(ctx context.Context) error {
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
