// Package sandbox starts processes behind walls: namespaces of their own, in
// which they see a small root that cannot be written to but for a private
// /tmp, none of the host's processes, and no network but what is handed to
// them; no privileges, few system calls; limits. Where the host does not
// permit a wall it says so, and starts the process behind those that stand.
//
// The walls are built by a child that is this same program, see package child.
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

// MountRoot is the directory for what Lateen itself shows to processes.
const MountRoot = "/var"

// Place is where [Process.Attach] puts something later on.
type Place = child.Place

// Limits bound a process and all that it starts.
type Limits struct {
	Memory int64   // bytes, those of files in /tmp among them; 0: no bound
	CPU    float64 // CPUs; 0: no bound
	Tasks  int     // processes and threads; 0: 512
}

// Spec is a process to start.
type Spec struct {
	Path   string   // the program, as the process sees it; see [Sandbox.Inside]
	Args   []string // its arguments, without its name
	Env    []string // its whole environment
	Mounts []Mount
	Late   []Place

	// Files are its descriptors from 3 on; all others are closed.
	Files  []*os.File
	Stdout *os.File // nil: the null device
	Stderr *os.File // nil: the null device

	// Network is given the device that is the process's network, before the
	// program runs: see package link. What it returns is closed once the
	// process is gone; an error fails the start. nil, or where the host has no
	// such devices: the process has no network but its own loopback.
	Network func(device *os.File) (io.Closer, error)

	Limits   Limits // from the start on
	TmpBytes int64  // size of its /tmp; 0 is 512 MiB
	MaxFiles uint64 // open files; 0 is 4096
	// Background gives the process a low priority until [Process.Foreground],
	// where the host lets that be undone.
	Background bool
	// Empty has no program run: the sandbox waits for what a zygote forks into it.
	// See [Process.Order].
	Empty bool
	// Zygote is for a program of our own that runs nothing else and forks into
	// empty sandboxes. It sees no more files than others, and has a network that
	// reaches nothing, but it is in the user and process namespaces of the host,
	// under the user id of this process without its privileges, and may make any
	// system call. It takes [Sandbox.Zygotes].
	Zygote bool
	// Handover lets processes take descriptors of each other (pidfd_getfd(2)),
	// as far as they may look into each other.
	Handover bool
}

// Options are the settings of a [Sandbox].
type Options struct {
	// FirstUID and UIDs are the range of user ids, each of which serves one
	// process at a time, that a sandbox of the superuser draws from. 0: a range
	// that no distribution hands out.
	FirstUID, UIDs int
	// Unwalled starts processes without walls, whatever this host permits; root
	// is still not what they run as. Otherwise Open is refused with
	// [ErrUnwalled] where walls are missing that are needed, as on systems other
	// than Linux.
	Unwalled bool
}

// Sandbox starts processes, while [Sandbox.Run] runs.
type Sandbox struct {
	options Options
	mode    child.Mode
	permits child.Mode // what the host does, wanted or not
	walls   []Wall
	groups  *cgroup.Tree
	keeper  *os.File
	starts  chan start
	visits  chan visit
	spare   chan *cgroup.Group // made ahead: one of them takes as long as a fork
	ended   chan struct{}      // closed once no more are taken
	made    atomic.Int64       // groups
	nextUID int

	mu   sync.Mutex // guards below
	live map[*Process]struct{}
}

type start struct {
	plan   child.Plan
	spec   Spec
	group  *cgroup.Group
	extra  []*os.File // descriptors for the child alone, behind the program's
	result chan started
}

type started struct {
	process *Process
	err     error
}

// Open finds out what this host permits, by trying it.
func Open(o Options) (*Sandbox, error) {
	o.FirstUID = cmp.Or(o.FirstUID, 0x70000000)
	o.UIDs = cmp.Or(o.UIDs, 1<<16)
	s := &Sandbox{
		options: o, starts: make(chan start), visits: make(chan visit), spare: make(chan *cgroup.Group, spareGroups), ended: make(chan struct{}),
		live: map[*Process]struct{}{},
	}
	s.nextUID = rand.N(o.UIDs) // so that two sandboxes of a host seldom meet
	var err error
	if s.groups, err = cgroup.Open(cgroup.Options{Name: "lateen"}); err != nil {
		return nil, fmt.Errorf("open the sandbox: %w", err)
	}
	// Functions together weigh as much as one group for each CPU does, so that
	// many of them do not starve what serves them, nor it them.
	if err := s.groups.Share(float64(runtime.NumCPU())); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, errors.Join(fmt.Errorf("open the sandbox: %w", err), s.groups.Close())
	}
	err = s.detect()
	if err == nil {
		err = s.settleFor()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the sandbox: %w", err), s.Close())
	}
	return s, nil
}

// settleFor refuses what is less than needed, or gives up what there is if
// that was asked for.
func (s *Sandbox) settleFor() error {
	if !s.options.Unwalled {
		return s.needed()
	}
	s.mode = child.Mode{Identity: s.mode.Identity, Background: mayRaisePriority()}
	err := s.groups.Close()
	s.groups = cgroup.None()
	return err
}

// Close gives back what Open took, once Run has returned and all processes were
// waited for.
func (s *Sandbox) Close() error {
	if s.keeper != nil {
		s.keeper.Close()
	}
	return s.groups.Close()
}

// Inside returns the path by which a process with these mounts knows path.
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

// Run starts the processes that [Sandbox.Start] asks for. They end with it, and
// with this process, however that ends. It runs once.
func (s *Sandbox) Run(ctx context.Context) error {
	var threads sync.WaitGroup
	threads.Go(func() {
		// The kernel ties a child's life to the thread that made it: this one,
		// which nothing else uses, and which ends with its goroutine.
		runtime.LockOSThread()
		s.serve(ctx)
	})
	threads.Go(func() { s.visit(ctx) })
	threads.Go(func() { s.stock(ctx) })
	<-ctx.Done()
	close(s.ended)
	threads.Wait()
	s.killAll()
	return nil
}

const spareGroups = 3

// stock makes groups ahead.
func (s *Sandbox) stock(ctx context.Context) {
	for {
		group, err := s.makeGroup()
		if err != nil { // whoever needs one finds out why
			<-ctx.Done()
			break
		}
		select {
		case s.spare <- group:
			continue
		case <-ctx.Done():
			_ = group.Close() // the next sandbox sweeps what stays
		}
		break
	}
	for len(s.spare) > 0 {
		_ = (<-s.spare).Close() // as above
	}
}

func (s *Sandbox) makeGroup() (*cgroup.Group, error) {
	return s.groups.New(strconv.FormatInt(s.made.Add(1), 10))
}

// takeGroup returns a group without processes and bounds.
func (s *Sandbox) takeGroup() (*cgroup.Group, error) {
	select {
	case group := <-s.spare:
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

// enter makes the child and keeps it in mind until it was waited for.
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

// killAll does what the kernel does at the end of this process, and does it too
// for children that have not asked for that yet.
func (s *Sandbox) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.live {
		_ = p.kill() // there is no more that could be done
	}
}

// ErrEnded says that no more processes are started.
var ErrEnded = errors.New("the sandbox has ended")

// Start starts a process, once Run runs; after it, the error is [ErrEnded]. The
// walls stand when it returns.
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

// group makes the group of a process.
func (s *Sandbox) group(spec Spec) (*cgroup.Group, error) {
	group, err := s.takeGroup()
	if err != nil {
		return nil, err
	}
	err = group.Limit(cgroup.Limits(spec.Limits))
	if spec.Background && err == nil {
		if err = group.Background(true); errors.Is(err, errors.ErrUnsupported) {
			err = nil // it is nice instead
		}
	}
	if err != nil {
		return nil, errors.Join(err, group.Close())
	}
	return group, nil
}

// fork has the thread that children belong to make one.
func (s *Sandbox) fork(ctx context.Context, req start) (*Process, error) {
	req.result = make(chan started, 1)
	select {
	case s.starts <- req:
		r := <-req.result // takes but the time of a fork
		return r.process, r.err
	case <-s.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
