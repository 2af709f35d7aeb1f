package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen/internal/cgroup"
)

// Process is a process in a sandbox, together with its descendants.
type Process struct {
	sandbox      *Sandbox
	parent       *Process  // process from which it was adopted; nil if it was started
	cmd          *exec.Cmd // nil if it was adopted
	id           int
	uid          int    // host user id reserved for it; 0: it has that of another process
	pidfd        int    // -1 on systems without pidfds
	pidNamespace uint64 // inode of its process namespace; 0: that of the host
	group        *cgroup.Group
	network      io.Closer
	late         []Place
	background   bool

	mu       sync.Mutex // guards the fields below
	attached map[string]bool
	waited   bool // Wait has returned: the kernel may have reused the id
}

// Usage is the resource usage of a process and its descendants.
type Usage struct {
	CPU    time.Duration
	Memory int64 // bytes in use now
	Peak   int64 // maximum of Memory since the last Limit; 0 if unknown
}

// Exit describes the end of a process.
type Exit struct {
	Code        int            // exit status; -1 if there is none or it is unknown
	Signal      syscall.Signal // signal that killed it; 0 if none did
	OutOfMemory bool           // the kernel killed a process of it at its memory limit
	CPU         time.Duration  // CPU time used
	Peak        int64          // maximum memory in bytes, as in [Usage]
}

// String returns a sentence for an error message.
func (x Exit) String() string {
	switch {
	case x.OutOfMemory:
		return "it ran out of memory"
	case x.Signal != 0:
		return fmt.Sprintf("a signal killed it (%s)", x.Signal)
	case x.Code < 0:
		return "it ended"
	default:
		return fmt.Sprintf("it exited with status %d", x.Code)
	}
}

// ID returns the process id of the first process, on this host.
func (p *Process) ID() int { return p.id }

// Background gives an adopted process a low priority until [Process.Foreground], where
// the host has cgroups for it.
func (p *Process) Background() error {
	err := p.group.Background(true)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return err
}

// Foreground restores the usual priority of a process in the background.
func (p *Process) Foreground() error {
	err := p.group.Background(false)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if p.background {
		err = errors.Join(err, foreground(p.id))
	}
	return err
}

// Limit replaces the limits of the process, as far as the host can enforce them.
func (p *Process) Limit(l Limits) error {
	l.Tasks = cmp.Or(l.Tasks, defaultTasks)
	return p.group.Limit(cgroup.Limits(l))
}

// Usage returns the resource usage of the process so far.
func (p *Process) Usage() (Usage, error) {
	if p.sandbox.groups.Missing(cgroup.Accounting) != "" {
		return usageOf(p.id), nil
	}
	u, err := p.group.Usage()
	if p.sandbox.groups.Missing(cgroup.Memory) != "" {
		u.Memory = usageOf(p.id).Memory
	}
	return Usage(u), err
}

// CPU returns the CPU time used so far; it is cheaper than Usage.
func (p *Process) CPU() time.Duration {
	cpu, err := p.group.CPU()
	if err != nil {
		return usageOf(p.id).CPU
	}
	return cpu
}

// Freeze stops the process and its descendants until [Process.Thaw]. The error is
// [errors.ErrUnsupported] where the host has no freezer.
func (p *Process) Freeze() error { return p.group.Freeze() }

// Thaw resumes a frozen process.
func (p *Process) Thaw() error { return p.group.Thaw() }

// Reclaim moves memory of the process to swap. The error is [errors.ErrUnsupported]
// where the host cannot do that.
func (p *Process) Reclaim() error { return p.group.Reclaim() }

// Terminate sends SIGTERM to the process and thaws it if it is frozen.
func (p *Process) Terminate() error {
	err := p.signal(syscall.SIGTERM)
	if thaw := p.Thaw(); !errors.Is(thaw, errors.ErrUnsupported) {
		err = errors.Join(err, thaw)
	}
	return err
}

// Kill kills the process and its descendants, unless Wait has returned.
func (p *Process) Kill() error { return p.kill() }

func (p *Process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waited {
		return nil
	}
	return p.killLocked()
}

func (p *Process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waited {
		return nil
	}
	return p.signalLocked(sig)
}

// Wait waits for the end of the process, releases its resources and returns its exit.
// It must be called once.
func (p *Process) Wait() Exit {
	exit := p.await()
	p.mu.Lock()
	p.waited = true
	p.mu.Unlock()
	p.sandbox.mu.Lock()
	delete(p.sandbox.live, p)
	p.sandbox.mu.Unlock()
	exit.OutOfMemory = p.group.OutOfMemory()
	if u, err := p.group.Usage(); err == nil {
		exit.CPU, exit.Peak = max(exit.CPU, u.CPU), u.Peak
	}
	p.release()
	return exit
}

// release frees the resources of the process. The next sandbox that opens removes the
// cgroups that could not be removed now.
func (p *Process) release() {
	if p.network != nil {
		_ = p.network.Close() // no caller could handle the error
	}
	_ = errors.Join(p.group.KillAll(), p.group.Close())
	closeDescriptor(p.pidfd)
}

// exitOf returns the exit of a child. The keeper reports a signal as a status above
// 128, as shells do.
func exitOf(state *os.ProcessState) Exit {
	exit := Exit{Code: state.ExitCode(), CPU: state.UserTime() + state.SystemTime()}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		exit.Code, exit.Signal = -1, status.Signal()
	case exit.Code > 128 && exit.Code < 128+65:
		exit.Code, exit.Signal = -1, syscall.Signal(exit.Code-128)
	}
	return exit
}
