// Package sandbox starts processes behind walls: a mount table of their own
// in which nothing can be written but a private /tmp, an unprivileged user, no
// way to new privileges, and limits. Where the host does not permit a wall it
// says so, and starts the process behind those that stand.
//
// The walls are built by a child that is this same program: whoever uses this
// package calls [Child] first thing in main, and in TestMain.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// A Wall is a means of confinement.
type Wall struct {
	Name    string
	Missing string // why it does not stand on this host; "" if it does
}

// The walls by name.
const (
	WallMounts     = "a private /tmp and read-only files"
	WallIdentity   = "a user of their own"
	WallPrivileges = "a ban on new privileges"
)

// Mount makes a file or directory of the host visible at another path.
type Mount struct {
	Host  string `json:"host"`
	Guest string `json:"guest"` // below [MountRoot]
}

// MountRoot is the directory that holds mounts; nothing else of the host is in it.
const MountRoot = "/var"

// Spec is a process to start.
type Spec struct {
	Path   string   `json:"path"` // the program, as the process sees it; see [Sandbox.Inside]
	Args   []string `json:"args"` // its arguments, without its name
	Env    []string `json:"env"`  // its whole environment
	Mounts []Mount  `json:"mounts"`

	// Files are its descriptors from 3 on; all others are closed.
	Files  []*os.File `json:"-"`
	Stdout *os.File   `json:"-"` // nil: the null device
	Stderr *os.File   `json:"-"` // nil: the null device

	TmpBytes int64  `json:"tmpBytes"` // size of its /tmp; 0 is 512 MiB
	MaxFiles uint64 `json:"maxFiles"` // open files; 0 is 4096
	// Background gives the process a low priority until [Process.Foreground],
	// where the host lets that be undone.
	Background bool `json:"background"`
}

// Options are the settings of a [Sandbox].
type Options struct {
	// FirstUID and UIDs are the range of user ids, each of which serves one
	// process at a time, that a sandbox of the superuser draws from. 0: a range
	// that no distribution hands out.
	FirstUID, UIDs int
}

// Sandbox starts processes, while [Sandbox.Run] runs.
type Sandbox struct {
	options Options
	mode    mode
	walls   []Wall
	starts  chan start
	ended   chan struct{} // closed once no more are taken
	nextUID int

	mu   sync.Mutex // guards below
	live map[*Process]struct{}
}

// mode is how processes are started on this host.
type mode struct {
	Namespaces bool `json:"namespaces"` // mount, ipc and uts namespaces
	User       bool `json:"user"`       // in a user namespace
	Identity   bool `json:"identity"`   // under user ids of their own
	Background bool `json:"background"` // at a low priority that can be undone
}

type start struct {
	spec   Spec
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
	s := &Sandbox{options: o, starts: make(chan start), ended: make(chan struct{}), live: map[*Process]struct{}{}}
	s.nextUID = rand.N(o.UIDs) // so that two sandboxes of a host seldom meet
	if err := s.detect(); err != nil {
		return nil, fmt.Errorf("open the sandbox: %w", err)
	}
	return s, nil
}

// Missing says in one sentence what is missing, or "".
func (s *Sandbox) Missing() string {
	var missing []string
	for _, w := range s.walls {
		if w.Missing != "" {
			missing = append(missing, w.Name+" ("+w.Missing+")")
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "functions run without " + strings.Join(missing, ", without ")
}

// PrivateTmp reports whether every process has a /tmp of its own.
func (s *Sandbox) PrivateTmp() bool { return s.mode.Namespaces }

// Identity reports whether every process has a user id of its own.
func (s *Sandbox) Identity() bool { return s.mode.Identity }

// Inside returns the path by which a process with these mounts knows path.
func (s *Sandbox) Inside(mounts []Mount, path string) string {
	if !s.mode.Namespaces {
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
	go func() {
		defer close(s.ended)
		// The kernel ties a child's life to the thread that made it: this one,
		// which nothing else uses, and which ends with its goroutine.
		runtime.LockOSThread()
		s.serve(ctx)
	}()
	<-s.ended
	return nil
}

func (s *Sandbox) serve(ctx context.Context) {
	for {
		select {
		case req := <-s.starts:
			req.result <- s.enter(req.spec)
		case <-ctx.Done():
			s.killAll()
			return
		}
	}
}

// enter starts a process and keeps it in mind until it was waited for.
func (s *Sandbox) enter(spec Spec) started {
	cmd, err := s.launch(spec)
	if err != nil {
		return started{err: err}
	}
	p := &Process{cmd: cmd, background: spec.Background && s.mode.Background, sandbox: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[p] = struct{}{}
	return started{process: p}
}

// killAll does what the kernel does at the end of this thread, and does it too
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

// Start starts a process, once Run runs; after it, the error is [ErrEnded].
func (s *Sandbox) Start(ctx context.Context, spec Spec) (*Process, error) {
	req := start{spec, make(chan started, 1)}
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

// Process is a started process and all that it starts in turn without leaving
// its session.
type Process struct {
	cmd        *exec.Cmd
	background bool
	sandbox    *Sandbox
}

// ID returns the process id.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Foreground ends the low priority of a process started in the background.
func (p *Process) Foreground() error {
	if !p.background {
		return nil
	}
	return foreground(p.ID())
}

// Terminate asks the process to end.
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

// Kill ends the process and its session, unless Wait has returned.
func (p *Process) Kill() error {
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	if _, live := p.sandbox.live[p]; !live {
		return nil // the id may be another's by now
	}
	return p.kill()
}

func (p *Process) kill() error { return errors.Join(p.signal(syscall.SIGKILL), killSession(p.ID())) }

func (p *Process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.ID(), err)
	}
	return nil
}

// Wait waits for the end of the process, releases what it held, and says how
// it ended. It must be called once.
func (p *Process) Wait() *os.ProcessState {
	_ = p.cmd.Wait() // what it has to say is in the state
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	delete(p.sandbox.live, p)
	return p.cmd.ProcessState
}
