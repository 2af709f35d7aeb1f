package sandbox

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

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

// awaitAdopted waits for the end of a process that is another's child. How it
// ended is told by kernels from 6.15 on, once its parent has taken note.
func (p *Process) awaitAdopted() Exit {
	fd, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Exit{Code: -1}
	}
	file := os.NewFile(uintptr(fd), "pidfd") // of which the runtime's poller takes care
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return Exit{Code: -1}
	}
	_ = conn.Read(func(fd uintptr) bool { return pollEnd(fd, unix.POLLIN, 0) }) // it ends: nothing else can be
	pollEnd(uintptr(fd), 0, reapTime)                                           // hangs up, then
	return exitOfAdopted(fd)
}

const reapTime = 50 * time.Millisecond // that a parent may take

// pollEnd reports whether something has happened to a process within a time.
func pollEnd(pidfd uintptr, events int16, within time.Duration) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: events}} //nolint:gosec // a descriptor
	n, err := unix.Poll(poll, int(within.Milliseconds()))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// pidfdInfo is the kernel's struct pidfd_info, as of its first version.
type pidfdInfo struct {
	mask, group uint64
	ids         [11]uint32
	exit        int32 // as wait(2) has it
}

// exitOfAdopted asks the kernel how a process ended.
func exitOfAdopted(pidfd int) Exit {
	const (
		getInfo  = 3<<30 | uint(unsafe.Sizeof(pidfdInfo{}))<<16 | 0xff<<8 | 11 // _IOWR(0xFF, 11, struct pidfd_info)
		infoExit = 1 << 3
	)
	info := pidfdInfo{mask: infoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), uintptr(getInfo), uintptr(unsafe.Pointer(&info)))
	status := unix.WaitStatus(info.exit) //nolint:gosec // the same bits
	switch {
	case errno != 0 || info.mask&infoExit == 0:
		return Exit{Code: -1}
	case status.Signaled():
		return Exit{Code: -1, Signal: status.Signal()}
	default:
		return Exit{Code: status.ExitStatus()}
	}
}
