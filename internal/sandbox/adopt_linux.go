package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/cgroup"
)

// Adopt makes a process of its own of one that p has started, by its id on this
// host: with a group, and so limits and measures, of its own. It shares p's
// walls, and ends with p. Its Wait must be called, too. Ids of processes that
// are not in p's namespace are refused.
func (p *Process) Adopt(pid int) (*Process, error) {
	child, err := p.adopt(pid)
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", pid, err)
	}
	return child, nil
}

func (p *Process) adopt(pid int) (_ *Process, err error) {
	s := p.sandbox
	if p.space == 0 {
		return nil, fmt.Errorf("whose it is cannot be told without a process namespace: %w", errors.ErrUnsupported)
	}
	pidfd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	child := &Process{sandbox: s, parent: p, id: pid, pidfd: pidfd, space: p.space}
	defer func() {
		if err != nil {
			closeDescriptor(pidfd)
		}
	}()
	if child.space, err = processSpace(pid); err != nil {
		return nil, err
	}
	if child.space != p.space || pid == p.id {
		return nil, errors.New("it is another's")
	}
	// It is alive, so what was just read was of the process that pidfd is of.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		return nil, err
	}
	if child.group, err = s.takeGroup(); err != nil {
		return nil, err
	}
	err = child.group.Limit(cgroup.Limits{Tasks: defaultTasks})
	if err == nil {
		err = child.group.Enter(pid)
	}
	if err != nil {
		return nil, errors.Join(err, child.group.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[child] = struct{}{}
	return child, nil
}

// processSpace identifies the process namespace of a process.
func processSpace(pid int) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &stat); err != nil {
		return 0, fmt.Errorf("look at the namespaces of process %d: %w", pid, err)
	}
	return stat.Ino, nil
}

// awaitAdopted waits for the end of a process that is another's child. Nobody
// says how it ended.
func (p *Process) awaitAdopted() Exit {
	fd, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Exit{Code: -1}
	}
	file := os.NewFile(uintptr(fd), "pidfd") // of which the runtime's poller takes care
	defer file.Close()
	conn, err := file.SyscallConn()
	if err == nil {
		_ = conn.Read(func(fd uintptr) bool { // it ends, or the file is closed: nothing else can be
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
	}
	return Exit{Code: -1}
}
