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

// Adopt returns a Process for a descendant of p, given its id on this host, with a
// cgroup, and so limits and usage, of its own. It shares p's sandbox and ends with p.
// Its Wait must be called, too. Adopt refuses ids of processes outside p's namespace.
func (p *Process) Adopt(pid int) (*Process, error) {
	child, err := p.adopt(pid)
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", pid, err)
	}
	return child, nil
}

func (p *Process) adopt(pid int) (_ *Process, err error) {
	s := p.sandbox
	if p.pidNamespace == 0 {
		return nil, fmt.Errorf("the owner of a process is unknown without a process namespace: %w", errors.ErrUnsupported)
	}
	pidfd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	child := &Process{sandbox: s, parent: p, id: pid, pidfd: pidfd, pidNamespace: p.pidNamespace}
	defer func() {
		if err != nil {
			closeDescriptor(pidfd)
		}
	}()
	if child.pidNamespace, err = pidNamespaceOf(pid); err != nil {
		return nil, err
	}
	if child.pidNamespace != p.pidNamespace || pid == p.id {
		return nil, errors.New("it belongs to another process namespace")
	}
	// The process is alive, so the id still was that of pidfd's process when its
	// namespace was read.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		return nil, err
	}
	if child.group, err = s.takeGroup(); err != nil {
		return nil, err
	}
	err = child.group.Limit(cgroup.Limits{Tasks: defaultTasks})
	if err == nil {
		err = child.group.Add(pid)
	}
	if err != nil {
		return nil, errors.Join(err, child.group.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[child] = struct{}{}
	return child, nil
}

// pidNamespaceOf returns the inode of the process namespace of a process.
func pidNamespaceOf(pid int) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &stat); err != nil {
		return 0, fmt.Errorf("read the namespaces of process %d: %w", pid, err)
	}
	return stat.Ino, nil
}

// awaitAdopted waits for the end of a process that is a child of another process.
// Kernels from 6.15 on report its exit once its parent has reaped it.
func (p *Process) awaitAdopted() Exit {
	fd, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Exit{Code: -1}
	}
	file := os.NewFile(uintptr(fd), "pidfd") // the runtime's poller watches it
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return Exit{Code: -1}
	}
	_ = conn.Read(func(fd uintptr) bool { return pollEnd(fd, unix.POLLIN, 0) }) // only the end of the process makes it readable
	pollEnd(uintptr(fd), 0, reapTime)                                           // POLLHUP follows
	return exitOfAdopted(fd)
}

const reapTime = 50 * time.Millisecond // time for the parent to reap its child

// pollEnd reports whether events, or a hangup, occurred on a pidfd within a time.
func pollEnd(pidfd uintptr, events int16, within time.Duration) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: events}} //nolint:gosec // a descriptor
	n, err := unix.Poll(poll, int(within.Milliseconds()))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// pidfdInfo is the kernel's struct pidfd_info, in its first version.
type pidfdInfo struct {
	mask, group uint64
	ids         [11]uint32
	exit        int32 // status as of wait(2)
}

// exitOfAdopted asks the kernel for the exit of a process.
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
