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

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	tendZygotes  = time.Second
	birthTimeout = 10 * time.Second // of a child, and the walls around it

	// Children of a zygote share its layout of memory, and with it what V8 seeds
	// its hashes with: so there are not many of one.
	maxBirths    = 100
	maxZygoteAge = 10 * time.Minute // since its first child

	maxStillbirths = 3 // that the kernel refused, in a row, after which there are no zygotes any more
)

// zygotes are the processes that blank processes are forked from, one of a
// runtime. They are for when no booted one is at hand.
type zygotes struct {
	mu    sync.Mutex // guards below, and what zygotes say so of
	off   error      // why there are none; nil: there are
	all   map[string]*zygote
	fails int               // births that the kernel refused, in a row
	usual map[string]string // the tags of archives that booted processes can read
}

// zygote is a blank process that only forks. Nothing of a tenant runs in it.
type zygote struct {
	*worker

	mounts []sandbox.Mount // of its runtime
	size   int64           // bytes it holds
	born   chan guest.Born // answers to orders

	speak   sync.Mutex     // one order at a time
	retired bool           // it takes no more; guarded by speak
	under   sync.WaitGroup // births; none begins once it is retired

	births int       // guarded by zygotes
	first  time.Time // of them; guarded by zygotes
}

// openZygotes finds out whether there can be any.
func (e *Engine) openZygotes() {
	e.zygotes.all, e.zygotes.usual = map[string]*zygote{}, map[string]string{}
	switch {
	case e.o.NoZygotes:
		e.zygotes.off = errors.New("it was asked for")
	case e.o.Unsandboxed:
		e.zygotes.off = errors.New("functions run without a sandbox")
	case !guest.Forks():
		e.zygotes.off = errors.New("there is no object for this architecture")
	default:
		e.zygotes.off = e.sandbox.Zygotes()
	}
}

// Zygotes returns an error that says why there are none, or nil.
func (e *Engine) Zygotes() error {
	e.zygotes.mu.Lock()
	defer e.zygotes.mu.Unlock()
	return e.zygotes.off
}

// of returns the zygote of a runtime that is at hand, or nil.
func (zs *zygotes) of(r *runner) *zygote {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if z := zs.all[r.name]; z != nil && zs.off == nil && !isClosed(z.exited) {
		return z
	}
	return nil
}

// memory is how many bytes all of them hold.
func (zs *zygotes) memory() (sum int64) {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	for _, z := range zs.all {
		sum += z.size
	}
	return sum
}

// reserved is how many bytes zygotes and shells hold.
func (e *Engine) reserved() int64 {
	sum := e.zygotes.memory()
	for _, r := range e.runners {
		sum += int64(r.shells.count()) * shellMemory
	}
	return sum
}

// worn reports whether a zygote has had enough children.
func (zs *zygotes) worn(z *zygote, now time.Time) bool {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	return z.births >= maxBirths || z.births > 0 && now.Sub(z.first) > maxZygoteAge
}

// count takes note of how a birth went. Where the kernel refuses it again and
// again there are no more; false if so. A zygote that is slow, or ends, is followed by another.
func (zs *zygotes) count(z *zygote, err error) bool {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if err == nil {
		if zs.fails = 0; z.births == 0 {
			z.first = time.Now()
		}
		z.births++
		return true
	}
	var refused stillbirth
	if !errors.As(err, &refused) {
		return zs.off == nil
	}
	if zs.fails++; zs.fails == maxStillbirths {
		zs.off = fmt.Errorf("births fail: %w", err)
	}
	return zs.off == nil
}

// put makes z the zygote of a runtime, or none if it is nil, and retires the
// one before.
func (zs *zygotes) put(r *runner, z *zygote) {
	zs.mu.Lock()
	before := zs.all[r.name]
	if zs.all[r.name] = z; z == nil {
		delete(zs.all, r.name)
	}
	zs.mu.Unlock()
	if before != nil {
		before.retire()
	}
}

// tag takes note of the archives that booted processes of a runtime can read,
// and tells which those are.
func (zs *zygotes) tag(r *runner, booted string) string {
	zs.mu.Lock()
	defer zs.mu.Unlock()
	if booted != "" {
		zs.usual[r.name] = booted
	}
	return zs.usual[r.name]
}

// tendZygotes sees to it that every runtime in use has a zygote, until ctx ends.
func (e *Engine) tendZygotes(ctx context.Context) {
	if why := e.Zygotes(); why != nil {
		e.o.Log.InfoContext(ctx, "blank processes are booted, never forked", "why", why)
		return
	}
	for failures := 0; ctx.Err() == nil; {
		var err error
		for _, r := range e.runners {
			if r.forks {
				err = errors.Join(err, e.tendZygote(ctx, r))
			}
		}
		wait := tendZygotes
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			e.o.Log.WarnContext(ctx, "a runtime has no zygote", "err", err)
			wait += pool.Backoff(failures)
		}
		pool.Pause(ctx, wait)
	}
}

func (e *Engine) tendZygote(ctx context.Context, r *runner) error {
	z := e.zygotes.of(r)
	switch used, filled := r.blanks.Use(); {
	case !used || e.Zygotes() != nil:
		e.zygotes.put(r, nil)
		return nil
	case !filled, z != nil && !e.zygotes.worn(z, time.Now()):
		return nil // what is there comes before what may be
	}
	z, err := e.conceive(ctx, r)
	if err == nil {
		e.zygotes.put(r, z)
	}
	return err
}

// conceive boots a zygote.
func (e *Engine) conceive(ctx context.Context, r *runner) (*zygote, error) {
	ctx, cancel := e.within(ctx, prepareTimeout)
	defer cancel()
	program, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	shaped := e.forking(r)
	shaped.name = r.name + " zygote"
	w, err := e.boot(ctx, bootOptions{runner: shaped, background: true, zygote: true})
	if err != nil {
		return nil, err
	}
	z := &zygote{worker: w, mounts: program.mounts, size: w.Memory(), born: make(chan guest.Born, 1)}
	w.mu.Lock()
	w.receiver = z.receive
	w.mu.Unlock()
	library := func(name string) string { return guestAgent + "/" + name }
	err = guest.Write(w.ends.control, guest.TypeZygote, guest.Zygote{Fork: library(guest.ForkLibrary), Enter: library(guest.ZygoteLibrary)})
	if err == nil {
		err = z.delivered(ctx)
	}
	if err == nil && !w.Claim() { // or its children would be in the background
		err = errors.New("it ended as soon as it was booted")
	}
	if err != nil {
		w.Kill()
		return nil, fmt.Errorf("make a zygote of %s: %w", r.name, err)
	}
	return z, nil
}

func (z *zygote) receive(m guest.Message) {
	var b guest.Born
	if m.Type != guest.TypeBorn || m.Into(&b) != nil {
		return
	}
	select {
	case z.born <- b:
	default: // nobody has asked
	}
}

// stillbirth is why the kernel has refused one.
type stillbirth struct{ error }

// Error says so.
func (s stillbirth) Error() string { return "fork into the sandbox: " + s.error.Error() }

// errRetired says that a zygote takes no more orders: another has its place.
var errRetired = errors.New("it is retired")

// retire ends a zygote. Its children do not need it.
func (z *zygote) retire() {
	z.speak.Lock()
	z.retired = true
	z.speak.Unlock()
	z.under.Wait() // until it has a group of its own, a child ends with its zygote
	z.speak.Lock()
	defer z.speak.Unlock()
	if c, ok := z.ends.control.(*net.UnixConn); ok {
		_ = c.CloseWrite() // fails only where it is gone
	}
}

// bear forks a blank process from the zygote of a runtime; nil where there is
// none, or it fails, and one has to be booted.
func (e *Engine) bear(ctx context.Context, r *runner) *worker {
	z := e.zygotes.of(r)
	if z == nil {
		return nil
	}
	w, err := e.deliver(ctx, z, r.shells)
	if errors.Is(err, errRetired) {
		return e.bear(ctx, r)
	}
	if err != nil && (ctx.Err() != nil || e.ending()) {
		return nil
	}
	more := e.zygotes.count(z, err)
	if err == nil {
		w.usual = e.zygotes.tag(r, "")
		return w
	}
	z.Kill()
	e.o.Log.WarnContext(ctx, "a zygote is given up", "runtime", r.name, "err", err, "others_follow", more)
	return nil
}

// deliver has a zygote fork a process into a sandbox of its own, and returns it
// once it waits for a function.
func (e *Engine) deliver(ctx context.Context, z *zygote, ahead *shells) (*worker, error) {
	ctx, cancel := e.within(ctx, birthTimeout)
	defer cancel()
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	ends, err := e.open(name)
	if err != nil {
		return nil, err
	}
	into, err := e.shell(ctx, ahead, z.mounts)
	if err == nil {
		if err = z.bring(ctx, into.process, ends); err != nil {
			into.tear()
		}
	}
	ends.handOver()
	if err != nil {
		ends.close()
		e.clean(name, "")
		return nil, err
	}
	w := &worker{name: name, process: into.process, ends: ends, inside: z.inside, outside: into.outside}
	w.raised.Store(true)
	if err := e.employ(w, ""); err != nil {
		return nil, err
	}
	if err := w.warmUp(ctx, nil); err != nil {
		w.Kill()
		<-w.exited
		return nil, fmt.Errorf("%w%s", err, w.output.lastWords())
	}
	return w, nil
}

// bring has the zygote fork a process with these ends into a sandbox that stands
// empty, in whose group it then is.
func (z *zygote) bring(ctx context.Context, into *sandbox.Process, ends *ends) error {
	conn, ok := ends.control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if !z.admit() {
		return errRetired
	}
	defer z.under.Done()
	if err := passCredentials(conn); err != nil {
		return err
	}
	if err := z.order(ctx, into, ends); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	pid, _, err := firstWords(conn, deadline)
	if err == nil {
		err = into.Settle(pid)
	}
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte{0})
	return err
}

// admit has a retirement wait for a birth; false if it is too late for one.
func (z *zygote) admit() bool {
	z.speak.Lock()
	defer z.speak.Unlock()
	if !z.retired {
		z.under.Add(1)
	}
	return !z.retired
}

// order has the zygote fork, and returns once it is through with that.
func (z *zygote) order(ctx context.Context, into *sandbox.Process, ends *ends) error {
	message, keeper, err := into.Order()
	if err != nil {
		return err
	}
	defer keeper.Close()
	z.speak.Lock()
	defer z.speak.Unlock()
	conn, ok := z.ends.control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetWriteDeadline(deadline); err != nil { // it may not read
		return fmt.Errorf("ask the zygote: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix(message, rightsOf(slices.Concat(ends.theirs[:], []*os.File{keeper})), nil); err != nil {
		return fmt.Errorf("ask the zygote: %w", err)
	}
	return z.delivered(ctx)
}

// delivered waits until the zygote is through with what it was told.
func (z *zygote) delivered(ctx context.Context) error {
	var b guest.Born
	select {
	case b = <-z.born:
	case <-z.exited:
		select {
		case b = <-z.born: // it answered, and then ended
		default:
			return fmt.Errorf("the zygote ended: %s", z.state)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if b.Error != 0 {
		return stillbirth{syscall.Errno(b.Error)}
	}
	return nil
}
