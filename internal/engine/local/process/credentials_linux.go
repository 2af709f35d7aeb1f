package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// passCredentials makes the kernel attach credentials to the messages of a socket.
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
		return fmt.Errorf("read the sender's credentials: %w", err)
	}
	return nil
}

// sender returns the process ID of a message's sender, as the kernel attests it in
// the control data. It closes descriptors that the message carries, as the engine
// expects none.
func sender(control []byte) (int, error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0, fmt.Errorf("read the sender's credentials: %w", err)
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue // the control message has another type
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
	return 0, errors.New("no credentials in the message")
}

func rightsOf(files []*os.File) []byte {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	return unix.UnixRights(fds...)
}
