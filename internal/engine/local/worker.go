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
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	bootTimeout = 30 * time.Second
	killAfter   = 500 * time.Millisecond // from SIGTERM to SIGKILL
	lingerTime  = time.Second            // for a process that closed its control connection to exit by itself, so that its status is not lost; generous for a busy host

	memoryOfCPU = 1769 << 20 // memory per CPU
)

// Paths of the guests' files in a sandbox with mounts.
const (
	guestNode    = sandbox.MountRoot + "/runtime/node"
	guestAgent   = sandbox.MountRoot + "/runtime/agent"
	guestTree    = sandbox.MountRoot + "/task"
	guestArchive = sandbox.MountRoot + "/archive"
)

// worker is a booted runtime process: blank until it gets a function.
type worker struct {
	name     string // name of its socket
	process  *sandbox.Process
	handles  *handles
	upstream *upstream.Client
	output   *output
	link     *networkLink
	inside   func(path string) string // translates a path of the host into the process's view
	// interpreter is the interpreter of the command, with paths of the process.
	interpreter []string

	messages  *guest.Reader // messages of the control connection
	tag       string        // tag of the code caches that the process can read; set before parked
	bootedTag string        // tag of the code caches that booted processes can read; "": the process was booted

	parked     chan struct{} // closed when the process waits for a function
	exited     chan struct{} // closed when the process has ended; state and unread are set before
	foreground atomic.Bool   // moved out of the background priority
	state      sandbox.Exit
	unread     bool // the process ended before it read all messages

	mu       sync.Mutex // guards the fields below
	receiver func(guest.Message)
	killer   *time.Timer // runs after SIGTERM
}

type bootOptions struct {
	runner     *runner
	background bool     // low priority, for a process that no start waits for
	env        []string // variables besides those of every process
	zygote     bool
	spawned    func(*worker) // called with the process before it has booted; may be nil
}

// boot starts a process and returns it when it waits for a function.
func (e *Engine) boot(ctx context.Context, o bootOptions) (*worker, error) {
	program, err := o.runner.find(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := e.withTimeout(ctx, bootTimeout)
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
		return nil, fmt.Errorf("boot %s: %w%s", o.runner.name, err, w.output.lastOutput())
	}
	return w, nil
}

// spawn starts a process and the goroutines that serve it.
func (e *Engine) spawn(ctx context.Context, program command, o bootOptions) (*worker, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	tmp, err := e.makeTmp(name)
	if err != nil {
		return nil, err
	}
	handles, err := e.open(name)
	if err != nil {
		return nil, err
	}
	inside := func(path string) string { return e.sandbox.Inside(program.mounts, path) }
	args := make([]string, len(program.args))
	for i, arg := range program.args {
		args[i] = inside(arg)
	}
	link := new(networkLink)
	network := link.connector(ctx, e.o.Network)
	if o.zygote || o.runner.offline {
		network = nil
	}
	process, err := e.sandbox.Start(ctx, sandbox.Spec{
		Path: inside(program.path), Args: args, Env: slices.Concat(platformEnv(tmp, inside(program.named)), o.runner.env, o.env),
		Mounts: program.mounts, Late: []sandbox.Place{{Guest: guestTree}, {Guest: guestArchive}},
		Limits: sandbox.Limits{CPU: cpus(int64(e.o.Memory) << 20)}, // most functions get the default limit later, which then costs nothing
		Files:  handles.remote[:2], Stdout: handles.remote[2], Stderr: handles.remote[3], Background: o.background,
		Network: network, Zygote: o.zygote, Handover: o.runner.watches,
	})
	handles.closeRemote()
	if err != nil {
		handles.close()
		e.clean(name, tmp)
		return nil, err
	}
	interpreter := make([]string, len(program.interpreter))
	for i, part := range program.interpreter {
		interpreter[i] = inside(part)
	}
	w := &worker{interpreter: interpreter, name: name, process: process, handles: handles, inside: inside, link: link}
	w.foreground.Store(!o.background)
	return w, e.serve(w, tmp)
}

// serve starts to read the messages of a process, and to wait for its end.
func (e *Engine) serve(w *worker, tmp string) error {
	w.output, w.messages = &output{sink: e.o.Logs}, guest.NewReader(w.handles.control)
	w.parked, w.exited = make(chan struct{}), make(chan struct{})
	w.upstream = &upstream.Client{Dial: func(ctx context.Context) (net.Conn, error) { return e.dial(ctx, w.name) }}
	w.receiver = w.receiveBlank
	attend := func() {
		w.readMessages()
		e.clean(w.name, tmp)
	}
	if !e.runTracked(attend) {
		attend() // the process is being killed
		return sandbox.ErrEnded
	}
	return nil
}

// warmUp returns the requests that a process answers before it waits for a function.
// If a start waits for the process, they warm up only the parts that every function
// needs.
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

// warmUp sends the requests, and returns when the process waits for a function.
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

// explainAsk returns the exit status if the end of the process broke the connection,
// which the engine notices first. It waits no longer than a process may linger.
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

// readMessages handles messages until the process has ended, then cleans up.
func (w *worker) readMessages() {
	var written sync.WaitGroup
	written.Go(func() { w.output.copy(w.handles.stdout, lateen.LevelInfo) })
	written.Go(func() { w.output.copy(w.handles.stderr, lateen.LevelError) })
	for {
		m, err := w.messages.Next()
		if err != nil { // the process has ended, or its connection is unusable
			w.unread = errors.Is(err, syscall.ECONNRESET)
			break
		}
		w.receive(m)
	}
	lingers := time.AfterFunc(lingerTime, w.Kill) // a process that closed the connection is exiting, and its status matters
	w.state = w.process.Wait()
	lingers.Stop()
	w.handles.endOutput()
	written.Wait()
	w.handles.close()
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

// receiveBlank handles the messages of a process without a function.
func (w *worker) receiveBlank(m guest.Message) {
	if m.Type == guest.TypeParked {
		var p guest.Parked
		_ = m.Into(&p) // without a tag the process reads no code caches
		w.tag = p.Tag
		w.mu.Lock()
		w.receiver = func(guest.Message) {} // a parked process sends nothing more
		w.mu.Unlock()
		close(w.parked)
	}
}

// activate sends a function to the process; receiver gets the messages.
func (w *worker) activate(a guest.Activate, receiver func(guest.Message)) error {
	w.mu.Lock()
	w.receiver = receiver
	w.mu.Unlock()
	return guest.Write(w.handles.control, guest.TypeActivate, a)
}

// mountFiles mounts the function's files and code cache in the sandbox, sets the
// limits of the function, and returns the paths inside the sandbox.
func (i *instance) mountFiles(tree string, a *codecache.Archive) (root string, known *guest.Archive, err error) {
	if err := errors.Join(i.process.Limit(i.limits()), i.process.Attach(tree, guestTree)); err != nil {
		return "", nil, err
	}
	private := i.engine.sandbox.PrivateTmp()
	if a != nil && i.process.Attach(a.Dir, guestArchive) == nil { // the code cache may have been removed
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

// limits are the limits of the function.
func (i *instance) limits() sandbox.Limits {
	return sandbox.Limits{Memory: i.memory, CPU: cpus(i.memory)}
}

// cpus returns the number of CPUs for a memory limit.
func cpus(memory int64) float64 { return max(1, float64(memory)/memoryOfCPU) }

// end sends SIGTERM to the process, and SIGKILL soon after.
func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killer != nil {
		return
	}
	_ = w.process.Terminate() // it fails only if the process has ended
	w.killer = time.AfterFunc(killAfter, w.Kill)
}
