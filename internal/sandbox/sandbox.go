// Package sandbox starts processes in a sandbox of several layers: namespaces of their
// own with a small read-only root and a private /tmp, without the host's processes, and
// without a network except a device that the caller connects; no privileges; a short
// list of system calls; resource limits. Where the host does not permit a layer, the
// package reports it and starts the process in the other layers.
//
// A child process builds the layers. It executes this same program, see package child.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/sandbox/child"
)

// Mount makes a file or directory of the host visible at another path.
type Mount = child.Mount

// MountRoot is the directory for the files that Lateen itself mounts.
const MountRoot = "/var"

// Place is a path at which [Process.Attach] can mount something after the start.
type Place = child.Place

// Limits bound a process together with its descendants.
type Limits struct {
	Memory int64   // bytes, including files in /tmp; 0: unlimited
	CPU    float64 // CPUs; 0: unlimited
	Tasks  int     // processes and threads; 0: 512
}

// Spec is a process to start.
type Spec struct {
	Path   string   // path of the program inside the sandbox; see [Sandbox.Inside]
	Args   []string // arguments, without the program's name
	Env    []string // whole environment
	Mounts []Mount
	Late   []Place

	// Files are the process's descriptors from 3 on; all others are closed.
	Files  []*os.File
	Stdout *os.File // nil: the null device
	Stderr *os.File // nil: the null device

	// Network gets the network device of the process before the program runs: see
	// package netdev. The sandbox closes the returned value after the process has
	// ended; an error fails the start. If Network is nil, or the host has no such
	// devices, the process has no network except its own loopback.
	Network func(device *os.File) (io.Closer, error)

	Limits   Limits // limits from the start on
	TmpBytes int64  // size of /tmp in bytes; 0: 512 MiB
	MaxFiles uint64 // open files; 0: 4096
	// Background gives the process a low priority until [Process.Foreground], where the
	// host permits raising it again.
	Background bool
	// Empty runs no program: the sandbox waits for a process that a zygote forks into
	// it. See [Process.Order].
	Empty bool
	// Zygote is for a program of the platform that runs no user code and forks into
	// empty sandboxes. It sees no more files than other processes, and its network has
	// no route, but it is in the user and process namespaces of the host, has the user
	// id of this process without its privileges, and may make any system call. It
	// requires that [Sandbox.Zygotes] returns nil.
	Zygote bool
	// Handover lets processes copy descriptors of each other (pidfd_getfd(2)), as far
	// as they may trace each other.
	Handover bool
}

// Options are the settings of a [Sandbox].
type Options struct {
	// FirstUID and UIDs are the range of host user ids from which a sandbox of the
	// superuser takes one for each running process. 0: a range that no distribution
	// assigns.
	FirstUID, UIDs int
	// Unsandboxed starts processes without a sandbox, even if the host permits one; they
	// still do not run as root. Without it, Open fails with [ErrUnavailable] where a
	// needed layer is missing, as on systems other than Linux.
	Unsandboxed bool
}

// Sandbox starts processes while [Sandbox.Run] runs.
type Sandbox struct {
	options        Options
	mode           child.Mode
	permits        child.Mode // layers that the host permits, used or not
	layers         []Layer
	groups         *cgroup.Tree
	keeper         *os.File
	starts         chan start
	attachRequests chan attachRequest
	freeGroups     chan *cgroup.Group // cgroups created in advance: creating one takes as long as a fork
	ended          chan struct{}      // closed when no more starts are accepted
	made           atomic.Int64       // number of cgroups created
	nextUID        int

	mu   sync.Mutex // guards the fields below
	live map[*Process]struct{}
}

type start struct {
	plan   child.Plan
	spec   Spec
	group  *cgroup.Group
	extra  []*os.File // descriptors for the child only, after the program's
	result chan started
}

type started struct {
	process *Process
	err     error
}

// Open detects by probing which layers this host permits.
func Open(o Options) (*Sandbox, error) {
	o.FirstUID = cmp.Or(o.FirstUID, 0x70000000)
	o.UIDs = cmp.Or(o.UIDs, 1<<16)
	s := &Sandbox{
		options: o, starts: make(chan start), attachRequests: make(chan attachRequest), freeGroups: make(chan *cgroup.Group, maxFreeGroups), ended: make(chan struct{}),
		live: map[*Process]struct{}{},
	}
	s.nextUID = rand.N(o.UIDs) // two sandboxes of a host rarely use the same ids
	var err error
	if s.groups, err = cgroup.Open(cgroup.Options{Name: "lateen"}); err != nil {
		return nil, fmt.Errorf("open the sandbox: %w", err)
	}
	// All functions together weigh as much as one group for each CPU, so that many
	// functions do not starve the platform's own processes, nor the reverse.
	if err := s.groups.SetWeight(float64(runtime.NumCPU())); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, errors.Join(fmt.Errorf("open the sandbox: %w", err), s.groups.Close())
	}
	err = s.detect()
	if err == nil {
		err = s.applyOptions()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the sandbox: %w", err), s.Close())
	}
	return s, nil
}

// applyOptions fails if a required layer is missing, or disables all layers if the options
// say so.
func (s *Sandbox) applyOptions() error {
	if !s.options.Unsandboxed {
		return s.requireLayers()
	}
	s.mode = child.Mode{Identity: s.mode.Identity, Background: mayRaisePriority()}
	err := s.groups.Close()
	s.groups = cgroup.None()
	return err
}

// Close releases the resources of Open. The caller first waits for Run and for all
// processes.
func (s *Sandbox) Close() error {
	if s.keeper != nil {
		s.keeper.Close()
	}
	return s.groups.Close()
}

// Inside returns the path by which a process with these mounts reaches path.
func (s *Sandbox) Inside(mounts []Mount, path string) string {
	if !s.mode.Mounts {
		return path
	}
	for _, m := range mounts {
		if rest, err := filepath.Rel(m.Host, path); err == nil && filepath.IsLocal(rest) {
			return filepath.Join(m.Guest, rest)
		}
	}
	return path
}

// Run starts the processes that callers request by [Sandbox.Start]. The processes end
// when Run ends, and when this process ends for any reason. Run may be called once.
func (s *Sandbox) Run(ctx context.Context) error {
	var threads sync.WaitGroup
	threads.Go(func() {
		// The kernel kills a child (PR_SET_PDEATHSIG) when the thread that forked it
		// ends: this thread, which runs nothing else, and ends with its goroutine.
		runtime.LockOSThread()
		s.serve(ctx)
	})
	threads.Go(func() { s.serveAttach(ctx) })
	threads.Go(func() { s.fillGroups(ctx) })
	<-ctx.Done()
	close(s.ended)
	threads.Wait()
	s.killAll()
	return nil
}

const maxFreeGroups = 3

// fillGroups creates cgroups in advance.
func (s *Sandbox) fillGroups(ctx context.Context) {
	for {
		group, err := s.makeGroup()
		if err != nil { // the start that needs one reports the error
			<-ctx.Done()
			break
		}
		select {
		case s.freeGroups <- group:
			continue
		case <-ctx.Done():
			_ = group.Close() // the next sandbox removes the rest
		}
		break
	}
	for len(s.freeGroups) > 0 {
		_ = (<-s.freeGroups).Close() // as above
	}
}

func (s *Sandbox) makeGroup() (*cgroup.Group, error) {
	return s.groups.New(strconv.FormatInt(s.made.Add(1), 10))
}

// takeGroup returns a cgroup without processes and limits.
func (s *Sandbox) takeGroup() (*cgroup.Group, error) {
	select {
	case group := <-s.freeGroups:
		return group, nil
	default:
		return s.makeGroup()
	}
}

func (s *Sandbox) serve(ctx context.Context) {
	for {
		select {
		case req := <-s.starts:
			p, err := s.enter(req)
			req.result <- started{p, err}
		case <-ctx.Done():
			return
		}
	}
}

// enter starts the child and records it until Wait returns.
func (s *Sandbox) enter(req start) (*Process, error) {
	p := &Process{
		sandbox: s, pidfd: -1, group: req.group, late: req.spec.Late, attached: map[string]bool{},
		background: req.spec.Background && s.mode.Background,
	}
	if err := s.launch(p, req); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[p] = struct{}{}
	return p, nil
}

// killAll kills all processes. The kernel does the same when this process ends, except
// for children that have not called prctl(PR_SET_PDEATHSIG) yet.
func (s *Sandbox) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.live {
		_ = p.kill() // a failure has no remedy
	}
}

// ErrEnded is the error of a start after the end of [Sandbox.Run].
var ErrEnded = errors.New("the sandbox is closed")

// Start starts a process while Run runs; after it, the error is [ErrEnded]. When Start
// returns, all layers are in place.
func (s *Sandbox) Start(ctx context.Context, spec Spec) (*Process, error) {
	spec.TmpBytes = cmp.Or(spec.TmpBytes, defaultTmpBytes)
	spec.MaxFiles = cmp.Or(spec.MaxFiles, defaultMaxFiles)
	spec.Limits.Tasks = cmp.Or(spec.Limits.Tasks, defaultTasks)
	group, err := s.group(spec)
	if err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	p, err := s.build(ctx, spec, group)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a sandbox: %w", err), group.Close())
	}
	return p, nil
}

// group returns the cgroup of a process, with its limits.
func (s *Sandbox) group(spec Spec) (*cgroup.Group, error) {
	group, err := s.takeGroup()
	if err != nil {
		return nil, err
	}
	err = group.Limit(cgroup.Limits(spec.Limits))
	if spec.Background && err == nil {
		if err = group.Background(true); errors.Is(err, errors.ErrUnsupported) {
			err = nil // the child sets its niceness instead
		}
	}
	if err != nil {
		return nil, errors.Join(err, group.Close())
	}
	return group, nil
}

// fork has the thread of Run fork a child.
func (s *Sandbox) fork(ctx context.Context, req start) (*Process, error) {
	req.result = make(chan started, 1)
	select {
	case s.starts <- req:
		r := <-req.result // takes only the time of a fork
		return r.process, r.err
	case <-s.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
