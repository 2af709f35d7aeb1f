package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	bootTimeout = 30 * time.Second
	killAfter   = 500 * time.Millisecond // of a request to end
	lingerTime  = time.Second            // that a process which hung up has to exit by itself, so that its status is not lost; a busy host takes its time

	memoryOfCPU = 1769 << 20 // with which a function has a CPU of its own
)

// Where guests find what they need, if they have mounts of their own.
const (
	guestNode    = sandbox.MountRoot + "/runtime/node"
	guestAgent   = sandbox.MountRoot + "/runtime/agent"
	guestTree    = sandbox.MountRoot + "/task"
	guestArchive = sandbox.MountRoot + "/archive"
)

// worker is a booted runtime process: blank until it is made a function.
type worker struct {
	name     string // of its socket
	process  *sandbox.Process
	ends     *ends
	upstream *upstream.Client
	output   *output
	outside  *outside
	inside   func(path string) string // how the process knows a path of the host
	// interpreter is that of its command, in the process's paths.
	interpreter []string

	messages *guest.Reader // of the control connection
	tag      string        // of the archives it can read; set before parked
	usual    string        // of those that booted processes can; "": it was booted

	parked chan struct{} // closed once it waits for a function
	exited chan struct{} // closed once it is gone; state and unread are set before
	raised atomic.Bool   // out of the background
	state  sandbox.Exit
	unread bool // it ended before it had read all that it was told

	mu       sync.Mutex // guards below
	receiver func(guest.Message)
	killer   *time.Timer // of a process that was asked to end
}

type bootOptions struct {
	runner     *runner
	background bool     // at a low priority, for later
	env        []string // besides what every process has
	zygote     bool
	spawned    func(*worker) // is told of the process before it is booted; nil: nobody is
}

// boot starts a process and returns it when it waits for a function.
func (e *Engine) boot(ctx context.Context, o bootOptions) (*worker, error) {
	program, err := o.runner.find(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := e.within(ctx, bootTimeout)
	defer cancel()
	w, err := e.spawn(ctx, program, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.runner.name, err)
	}
	if o.spawned != nil {
		o.spawned(w)
	}
	if err := w.warmUp(ctx, o.warmUp()); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		w.Kill()
		<-w.exited
		return nil, fmt.Errorf("boot %s: %w%s", o.runner.name, err, w.output.lastWords())
	}
	return w, nil
}

// spawn starts a process and what listens to it.
func (e *Engine) spawn(ctx context.Context, program command, o bootOptions) (*worker, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	tmp, err := e.makeTmp(name)
	if err != nil {
		return nil, err
	}
	ends, err := e.open(name)
	if err != nil {
		return nil, err
	}
	inside := func(path string) string { return e.sandbox.Inside(program.mounts, path) }
	args := make([]string, len(program.args))
	for i, arg := range program.args {
		args[i] = inside(arg)
	}
	outside := new(outside)
	network := outside.connector(ctx, e.o.Network)
	if o.zygote || o.runner.offline {
		network = nil
	}
	process, err := e.sandbox.Start(ctx, sandbox.Spec{
		Path: inside(program.path), Args: args, Env: slices.Concat(platformEnv(tmp, inside(program.named)), o.runner.env, o.env),
		Mounts: program.mounts, Late: []sandbox.Place{{Guest: guestTree}, {Guest: guestArchive}},
		Limits: sandbox.Limits{CPU: cpus(int64(e.o.Memory) << 20)}, // as most are bound later, which then costs nothing
		Files:  ends.theirs[:2], Stdout: ends.theirs[2], Stderr: ends.theirs[3], Background: o.background,
		Network: network, Zygote: o.zygote, Handover: o.runner.watches,
	})
	ends.handOver()
	if err != nil {
		ends.close()
		e.clean(name, tmp)
		return nil, err
	}
	interpreter := make([]string, len(program.interpreter))
	for i, part := range program.interpreter {
		interpreter[i] = inside(part)
	}
	w := &worker{interpreter: interpreter, name: name, process: process, ends: ends, inside: inside, outside: outside}
	w.raised.Store(!o.background)
	return w, e.employ(w, tmp)
}

// employ has somebody listen to a process that is not parked yet, and see it off.
func (e *Engine) employ(w *worker, tmp string) error {
	w.output, w.messages = &output{sink: e.o.Logs}, guest.NewReader(w.ends.control)
	w.parked, w.exited = make(chan struct{}), make(chan struct{})
	w.upstream = &upstream.Client{Dial: func(ctx context.Context) (net.Conn, error) { return e.dial(ctx, w.name) }}
	w.receiver = w.receiveBlank
	attend := func() {
		w.listen()
		e.clean(w.name, tmp)
	}
	if !e.attend(attend) {
		attend() // the process is as good as dead
		return sandbox.ErrEnded
	}
	return nil
}

// warmUp is what a process answers before it waits for a function. Where
// somebody waits for the process it warms nothing that the function may not need.
func (o bootOptions) warmUp() []*http.Request {
	switch {
	case !o.runner.warm:
		return nil
	case o.background:
		return guest.WarmUp()
	default:
		return []*http.Request{guest.Park()}
	}
}

// warmUp has the process answer requests, and waits until it waits for a function.
func (w *worker) warmUp(ctx context.Context, requests []*http.Request) error {
	for _, req := range requests {
		if err := w.ask(req.WithContext(ctx)); err != nil {
			return fmt.Errorf("warm up: %w", w.explainAsk(ctx, err))
		}
	}
	select {
	case <-w.parked:
		return nil
	case <-w.exited:
		return fmt.Errorf("the process ended: %s", w.state)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// explainAsk returns how the process ended if that is why its connection broke,
// which is noticed first. It waits no longer than a process may linger.
func (w *worker) explainAsk(ctx context.Context, broken error) error {
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-w.exited:
		return fmt.Errorf("the process ended: %s", w.state)
	case <-timer.C:
	case <-ctx.Done():
	}
	return broken
}

func (w *worker) ask(req *http.Request) error {
	resp, err := w.upstream.RoundTrip(req, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer was %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// listen hears what the process has to say until it has ended, and sees it off.
func (w *worker) listen() {
	var written sync.WaitGroup
	written.Go(func() { w.output.copy(w.ends.stdout, lateen.LevelInfo) })
	written.Go(func() { w.output.copy(w.ends.stderr, lateen.LevelError) })
	for {
		m, err := w.messages.Next()
		if err != nil { // it has ended, or shall: there is no talking to it any more
			w.unread = errors.Is(err, syscall.ECONNRESET)
			break
		}
		w.receive(m)
	}
	lingers := time.AfterFunc(lingerTime, w.Kill) // what has hung up is ending, and may say how
	w.state = w.process.Wait()
	lingers.Stop()
	w.ends.hangUp()
	written.Wait()
	w.ends.close()
	w.upstream.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killer != nil {
		w.killer.Stop()
	}
	close(w.exited)
}

func (w *worker) receive(m guest.Message) {
	w.mu.Lock()
	receiver := w.receiver
	w.mu.Unlock()
	receiver(m)
}

// receiveBlank is the receiver of a process that is no function yet.
func (w *worker) receiveBlank(m guest.Message) {
	if m.Type == guest.TypeParked {
		var p guest.Parked
		_ = m.Into(&p) // without a tag it reads no archives
		w.tag = p.Tag
		w.mu.Lock()
		w.receiver = func(guest.Message) {} // there is no more to be said
		w.mu.Unlock()
		close(w.parked)
	}
}

// activate makes the process a function, whose messages go to receiver.
func (w *worker) activate(a guest.Activate, receiver func(guest.Message)) error {
	w.mu.Lock()
	w.receiver = receiver
	w.mu.Unlock()
	return guest.Write(w.ends.control, guest.TypeActivate, a)
}

// moveIn shows the process its function's files and archive, which it has not
// seen until now, bounds it as the function is, and returns where they are to it.
func (i *instance) moveIn(tree string, a *archive.Archive) (root string, known *guest.Archive, err error) {
	if err := errors.Join(i.process.Limit(i.limits()), i.process.Attach(tree, guestTree)); err != nil {
		return "", nil, err
	}
	private := i.engine.sandbox.PrivateTmp()
	if a != nil && i.process.Attach(a.Dir, guestArchive) == nil { // it may be gone by now
		known = &guest.Archive{Dir: guestArchive, Scripts: a.Scripts, Imports: a.Imports, Modules: a.Modules}
		if !private {
			known.Dir = a.Dir
		}
	}
	if private {
		return guestTree, known, nil
	}
	return tree, known, nil
}

// limits are those of the function.
func (i *instance) limits() sandbox.Limits {
	return sandbox.Limits{Memory: i.memory, CPU: cpus(i.memory)}
}

// cpus is how many CPUs come with so many bytes of memory.
func cpus(memory int64) float64 { return max(1, float64(memory)/memoryOfCPU) }

// end asks the process to end, and ends it soon after if it does not.
func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killer != nil {
		return
	}
	_ = w.process.Terminate() // as for kill
	w.killer = time.AfterFunc(killAfter, w.Kill)
}
