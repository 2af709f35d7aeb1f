package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRefused is the error of a server of a guest that takes no connections.
var ErrRefused = errors.New("the function's server takes no connections")

// Receive returns the connection to its server that a guest sends over from, a Unix
// socket, and closes from. The error is [ErrRefused] if the guest closes the socket
// instead.
func Receive(ctx context.Context, from net.Conn) (net.Conn, error) {
	defer from.Close() //nolint:errcheck // the exchange is complete
	conn, ok := from.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%s cannot carry a descriptor: %w", from.RemoteAddr().Network(), ErrRefused)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	rights := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), rights)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil, n == 0:
		return nil, ErrRefused
	}
	fds := descriptorsIn(rights[:n])
	if len(fds) != 1 {
		for _, fd := range fds {
			_ = syscall.Close(fd) // refused
		}
		return nil, fmt.Errorf("the guest's answer has %d descriptors: %w", len(fds), ErrRefused)
	}
	syscall.CloseOnExec(fds[0])
	if kind, err := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		_ = syscall.Close(fds[0]) // refused
		return nil, fmt.Errorf("the guest's answer is not a stream socket: %w", ErrRefused)
	}
	file := os.NewFile(uintptr(fds[0]), "server")
	defer file.Close()
	server, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("the guest's answer: %w", err)
	}
	return guarded(server)
}

// descriptorsIn returns all descriptors of a message: a sender may have sent more than
// one if they fit into the buffer.
func descriptorsIn(rights []byte) []int {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := syscall.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// shared is a connection of which the guest keeps a descriptor, too. Changes to that
// descriptor affect this one: the guest may make calls block, and make a close wait.
type shared struct {
	net.Conn

	raw syscall.RawConn
}

func guarded(conn net.Conn) (net.Conn, error) {
	with, ok := conn.(syscall.Conn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("the guest's answer is not a socket: %w", ErrRefused)
	}
	raw, err := with.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the guest's answer: %w", err)
	}
	return &shared{Conn: conn, raw: raw}, nil
}

// Read reads without ever blocking a thread.
func (c *shared) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := once(c.raw.Read, func(fd int) (int, error) {
		n, _, err := unix.Recvfrom(fd, p, unix.MSG_DONTWAIT)
		return n, err
	})
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write writes without ever blocking a thread.
func (c *shared) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := once(c.raw.Write, func(fd int) (int, error) {
			return unix.SendmsgN(fd, p[written:], nil, nil, unix.MSG_DONTWAIT)
		})
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close closes the connection at once and discards unsent data.
func (c *shared) Close() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(-1) // fails only on a closed connection
	}
	return c.Conn.Close()
}

// once makes a call when the descriptor is ready for it.
func once(when func(func(uintptr) bool) error, call func(fd int) (int, error)) (n int, err error) {
	waited := when(func(fd uintptr) bool {
		for {
			n, err = call(int(fd)) //nolint:gosec // a descriptor fits an int
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if waited != nil {
		return 0, waited
	}
	return max(n, 0), err
}
