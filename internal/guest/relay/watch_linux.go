package relay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// source is the notification descriptor of a seccomp filter (seccomp_unotify(2)), by
// which the kernel reports calls of listen; -1 if it cannot.
type source struct{ fd int }

// call is a struct seccomp_notif.
type call struct {
	id    uint64
	pid   uint32 // id of the thread
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// reply is a struct seccomp_notif_resp.
type reply struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// newWatch has the kernel watch the calling thread and its descendants.
func newWatch() *watch {
	w := &watch{at: map[uint16]net.IP{}, changed: make(chan struct{})}
	fd, err := filterListens()
	w.source, w.polling = source{fd}, err != nil
	return w
}

// filterListens installs a filter on the calling thread, and returns the notification
// descriptor for its calls of listen.
func filterListens() (int, error) {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return -1, errors.ErrUnsupported
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("set no_new_privs: %w", err)
	}
	const load, jump, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: load, K: 4}, // the architecture
		{Code: jump, K: arch, Jf: 3},
		{Code: load, K: 0}, // the number of the call
		{Code: jump, K: unix.SYS_LISTEN, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return -1, fmt.Errorf("watch for a listening socket: %w", errno)
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

// run executes the program's calls of listen for the life of the process.
func (w *watch) run() {
	if w.source.fd < 0 {
		return
	}
	for {
		var c call
		switch err := w.source.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&c)); {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR):
			continue // the caller was interrupted, and will call again
		case err != nil:
			w.update(func() { w.polling = true })
			return
		}
		answer := w.listen(c)
		_ = w.source.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)) // fails if the caller is gone
	}
}

// listen executes a call of listen for the program. If it cannot, it lets the kernel
// execute the call, and await falls back to attempts to connect.
func (w *watch) listen(c call) reply {
	fd, err := descriptor(int(c.pid), int(c.args[0]))
	if err != nil {
		w.update(func() { w.polling = true })
		return reply{id: c.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written to it
	if err := unix.Listen(fd, int(int32(c.args[1]))); err != nil {
		errno, _ := errors.AsType[unix.Errno](err)
		return reply{id: c.id, errno: -int32(errno)}
	}
	switch address, _ := unix.Getsockname(fd); a := address.(type) {
	case *unix.SockaddrInet4:
		w.record(net.IP(a.Addr[:]), uint16(a.Port))
	case *unix.SockaddrInet6:
		w.record(net.IP(a.Addr[:]), uint16(a.Port))
	}
	return reply{id: c.id}
}

// descriptor duplicates the descriptor fd of another thread into this process.
func descriptor(thread, fd int) (int, error) {
	pidfd, err := unix.PidfdOpen(thread, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) { // a kernel without pidfds of threads
		process, err := processOf(thread)
		if err != nil {
			return -1, err
		}
		pidfd, err = unix.PidfdOpen(process, 0)
		if err != nil {
			return -1, fmt.Errorf("open process %d: %w", process, err)
		}
	} else if err != nil {
		return -1, fmt.Errorf("open thread %d: %w", thread, err)
	}
	defer unix.Close(pidfd) //nolint:errcheck // nothing is written to it
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return -1, fmt.Errorf("take descriptor %d: %w", fd, err)
	}
	return own, nil
}

func processOf(thread int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nTgid:\t")
	text, _, _ := strings.Cut(rest, "\n")
	process, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("the process of thread %d: %w", thread, err)
	}
	return process, nil
}

func (s source) control(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// listening returns the ports at which processes of this user listen in this network
// namespace.
func listening() string {
	uid, listen := strconv.Itoa(os.Getuid()), "0A"
	var ports []string
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 8 || fields[3] != listen || fields[7] != uid {
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				ports = append(ports, strconv.FormatUint(port, 10))
			}
		}
	}
	return strings.Join(ports, ", ")
}
