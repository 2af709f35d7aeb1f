package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	bootTimeout = 30 * time.Second
	memoryOfCPU = 1769 << 20 // memory per CPU
)

// Paths of a function's files in a sandbox with mounts.
const (
	guestTree    = sandbox.MountRoot + "/task"
	guestArchive = sandbox.MountRoot + "/archive"
)

// BootOptions are the settings of one boot.
type BootOptions struct {
	Runner     *Runner
	Background bool           // low priority, for a process that no start waits for
	Env        []string       // variables besides those of every process
	Zygote     bool           // the process becomes a zygote
	Spawned    func(*Process) // called with the process before it has booted; may be nil
}

// Boot starts a process and returns it when it waits for a function.
func (h *Host) Boot(ctx context.Context, o BootOptions) (*Process, error) {
	program, err := o.Runner.Find(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := h.WithTimeout(ctx, bootTimeout)
	defer cancel()
	w, err := h.spawn(ctx, program, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Runner.Name, err)
	}
	if o.Spawned != nil {
		o.Spawned(w)
	}
	if err := w.WarmUp(ctx, o.warmUp()); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		w.Kill()
		<-w.Exited
		return nil, fmt.Errorf("boot %s: %w%s", o.Runner.Name, err, w.Output.LastOutput())
	}
	return w, nil
}

// spawn starts a process and the goroutines that serve it.
func (h *Host) spawn(ctx context.Context, program Command, o BootOptions) (*Process, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	tmp, err := h.makeTmp(name)
	if err != nil {
		return nil, err
	}
	handles, err := h.open(name)
	if err != nil {
		return nil, err
	}
	inside := func(path string) string { return h.Sandbox.Inside(program.Mounts, path) }
	args := make([]string, len(program.Args))
	for i, arg := range program.Args {
		args[i] = inside(arg)
	}
	link := new(Link)
	network := link.connector(ctx, h.Network)
	if o.Zygote || o.Runner.Offline {
		network = nil
	}
	process, err := h.Sandbox.Start(ctx, sandbox.Spec{
		Path: inside(program.Path), Args: args, Env: slices.Concat(platformEnv(tmp, inside(program.Named)), o.Runner.Env, o.Env),
		Mounts: program.Mounts, Late: late(),
		Limits: sandbox.Limits{CPU: cpus(int64(h.Memory) << 20)}, // most functions get the default limit later, which then costs nothing
		Files:  handles.remote[:2], Stdout: handles.remote[2], Stderr: handles.remote[3], Background: o.Background,
		Network: network, Zygote: o.Zygote, Handover: o.Runner.Watches,
	})
	handles.closeRemote()
	if err != nil {
		handles.close()
		h.clean(name, tmp)
		return nil, err
	}
	interpreter := make([]string, len(program.Interpreter))
	for i, part := range program.Interpreter {
		interpreter[i] = inside(part)
	}
	w := &Process{Interpreter: interpreter, name: name, Sandboxed: process, handles: handles, inside: inside, Link: link}
	w.foreground.Store(!o.Background)
	return w, h.serve(w, tmp, platformOwner(o.Zygote))
}

// serve starts to read the messages of a process, and to wait for its end. The
// process is on standby for its owner.
func (h *Host) serve(w *Process, tmp string, o owner) error {
	w.Output, w.messages = &Output{sink: h.Logs}, guest.NewReader(w.handles.control)
	w.Waiting, w.Exited = make(chan struct{}), make(chan struct{})
	w.Upstream = &upstream.Client{Dial: func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, w.name) }}
	w.receiver = w.receiveBlank
	h.addStandby(w, o)
	attend := func() {
		w.readMessages()
		h.endStandby(w)
		h.clean(w.name, tmp)
	}
	if !h.Go(attend) {
		attend() // the process is being killed
		return sandbox.ErrEnded
	}
	return nil
}

// warmUp returns the requests that a process answers before it waits for a function.
// If a start waits for the process, they warm up only the parts that every function
// needs.
func (o BootOptions) warmUp() []*http.Request {
	switch {
	case !o.Runner.Warm:
		return nil
	case o.Background:
		return guest.WarmUp()
	default:
		return []*http.Request{guest.EndWarmUp()}
	}
}

// platformEnv is the environment of every boot; a function's variables come on top.
// bin is the path of a program that functions find by name, "" for none.
func platformEnv(tmp, bin string) []string {
	tmp = cmp.Or(tmp, "/tmp")
	path := "/usr/local/bin:/usr/bin:/bin"
	if bin != "" {
		path = filepath.Dir(bin) + ":" + path
	}
	return []string{"HOME=" + tmp, "LANG=C.UTF-8", "PATH=" + path, "TMPDIR=" + tmp, "TZ=UTC"}
}

// Attach mounts a function's files and code cache in the sandbox of a process, sets
// the limits of the function, and returns the paths inside the sandbox.
func (h *Host) Attach(w *Process, tree string, a *codecache.Archive, l sandbox.Limits) (root string, known *guest.Archive, err error) {
	if err := errors.Join(w.Sandboxed.Limit(l), w.Sandboxed.Attach(tree, guestTree)); err != nil {
		return "", nil, err
	}
	private := h.Sandbox.PrivateTmp()
	if a != nil && w.Sandboxed.Attach(a.Dir, guestArchive) == nil { // the code cache may have been removed
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

// StartEmpty creates an empty sandbox for a process that another one forks into it.
func (h *Host) StartEmpty(ctx context.Context, link *Link, mounts []sandbox.Mount, background bool) (*sandbox.Process, error) {
	return h.Sandbox.Start(ctx, sandbox.Spec{
		Empty: true, Mounts: mounts, Late: late(), Limits: sandbox.Limits{CPU: cpus(int64(h.Memory) << 20)},
		Network: link.connector(ctx, h.Network), Background: background,
	})
}

// late returns the places of a function's files, which are mounted when a process
// gets its function.
func late() []sandbox.Place { return []sandbox.Place{{Guest: guestTree}, {Guest: guestArchive}} }

// LimitsOf returns the limits of a function with this memory limit.
func LimitsOf(memory int64) sandbox.Limits {
	return sandbox.Limits{Memory: memory, CPU: cpus(memory)}
}

// cpus returns the number of CPUs for a memory limit.
func cpus(memory int64) float64 { return max(1, float64(memory)/memoryOfCPU) }
