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

// Process is a process behind walls and all that it starts in turn.
type Process struct {
	sandbox    *Sandbox
	parent     *Process  // that it was adopted from; nil if it was started
	cmd        *exec.Cmd // nil if it was adopted
	id         int
	uid        int    // on the host, taken for it; 0: it has another's
	pidfd      int    // -1 where there is no such thing
	space      uint64 // its process namespace; 0 if that is the host's
	group      *cgroup.Group
	network    io.Closer
	late       []Place
	background bool

	mu       sync.Mutex // guards below
	attached map[string]bool
	gone     bool // waited for: its id may be another's
}

// Usage is what a process and all that it started have used.
type Usage struct {
	CPU    time.Duration
	Memory int64 // bytes now
	Peak   int64 // the most Memory ever was since the last Limit; 0 if nobody knows
}

// Exit is how a process has ended.
type Exit struct {
	Code        int            // its status; -1 if it has none, or nobody knows
	Signal      syscall.Signal // that killed it; 0 if none did
	OutOfMemory bool           // the kernel killed some of it for reaching its bound on memory
	CPU         time.Duration  // it has used
	Peak        int64          // bytes, as in [Usage]
}

// String says it for people.
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

// ID returns the process id of its first process, on this host.
func (p *Process) ID() int { return p.id }

// Background gives an adopted process a low priority until [Process.Foreground],
// where the host has groups for that.
func (p *Process) Background() error {
	err := p.group.Background(true)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return err
}

// Foreground ends the low priority of a process in the background.
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

// Limit bounds the process anew, as far as the host has means for it.
func (p *Process) Limit(l Limits) error {
	l.Tasks = cmp.Or(l.Tasks, defaultTasks)
	return p.group.Limit(cgroup.Limits(l))
}

// Usage is what the process has used so far.
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

// CPU is the CPU time it has used so far; cheaper than Usage.
func (p *Process) CPU() time.Duration {
	cpu, err := p.group.CPU()
	if err != nil {
		return usageOf(p.id).CPU
	}
	return cpu
}

// Freeze stops the process and all that it started where they are, until
// [Process.Thaw]. [errors.ErrUnsupported] where the host cannot.
func (p *Process) Freeze() error { return p.group.Freeze() }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.group.Thaw() }

// Reclaim pushes memory of the process out to swap; [errors.ErrUnsupported]
// where the host cannot.
func (p *Process) Reclaim() error { return p.group.Reclaim() }

// Terminate asks the process to end, a frozen one too.
func (p *Process) Terminate() error {
	err := p.signal(syscall.SIGTERM)
	if thaw := p.Thaw(); !errors.Is(thaw, errors.ErrUnsupported) {
		err = errors.Join(err, thaw)
	}
	return err
}

// Kill ends the process and all that it started, unless Wait has returned.
func (p *Process) Kill() error { return p.kill() }

func (p *Process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	return p.killLocked()
}

func (p *Process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	return p.signalLocked(sig)
}

// Wait waits for the end of the process, releases what it held, and says how
// it ended. It must be called once.
func (p *Process) Wait() Exit {
	exit := p.await()
	p.mu.Lock()
	p.gone = true
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

// release gives back what belongs to the process alone. What cannot be given
// back now is swept away when the next sandbox opens.
func (p *Process) release() {
	if p.network != nil {
		_ = p.network.Close() // nobody is there to hear of it
	}
	_ = errors.Join(p.group.End(), p.group.Close())
	closeDescriptor(p.pidfd)
}

// exitOf reads how a child ended. The keeper tells of a signal by a status as
// shells do.
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
