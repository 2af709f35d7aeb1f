package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// passCredentials has the kernel say who sends what arrives on a socket.
func passCredentials(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	if err := errors.Join(err, inner); err != nil {
		return fmt.Errorf("learn who speaks: %w", err)
	}
	return nil
}

// sender is the process that sent what came with control, by the kernel's word.
// Descriptors that came, too, are closed: nobody asked for them.
func sender(control []byte) (int, error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0, fmt.Errorf("learn who speaks: %w", err)
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue // it is something else
		}
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	}
	for _, m := range messages {
		if credentials, err := syscall.ParseUnixCredentials(&m); err == nil && credentials.Pid > 0 {
			return int(credentials.Pid), nil
		}
	}
	return 0, errors.New("nobody knows who speaks")
}

func rightsOf(files []*os.File) []byte {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	return unix.UnixRights(fds...)
}

// crowded reports whether temporary files take more than a quarter of the space
// that a process behind walls has for them.
func crowded(pid int) bool {
	var s unix.Statfs_t
	err := unix.Statfs(fmt.Sprintf("/proc/%d/root/tmp", pid), &s)
	return err == nil && s.Bfree < s.Blocks/4*3
}
