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

// ErrRefused says that a guest's server takes no connections.
var ErrRefused = errors.New("the function's server takes no connections")

// Receive returns the connection to its server that a guest answers with on
// conn, a unix socket, which it closes. The error is [ErrRefused] where it
// hangs up instead.
func Receive(ctx context.Context, from net.Conn) (net.Conn, error) {
	defer from.Close() //nolint:errcheck // there is no more to be said
	conn, ok := from.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("a descriptor cannot come by %s: %w", from.RemoteAddr().Network(), ErrRefused)
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
			_ = syscall.Close(fd) // it is refused
		}
		return nil, fmt.Errorf("the guest's answer has %d descriptors: %w", len(fds), ErrRefused)
	}
	syscall.CloseOnExec(fds[0])
	if kind, err := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		_ = syscall.Close(fds[0]) // it is refused
		return nil, fmt.Errorf("the guest's answer is no connection: %w", ErrRefused)
	}
	file := os.NewFile(uintptr(fds[0]), "server")
	defer file.Close()
	server, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("the guest's answer: %w", err)
	}
	return guarded(server)
}

// descriptorsIn returns all that came with a message: who sent it may have sent
// more than one that fits.
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

// shared is a connection of which the guest keeps a descriptor, too: what it
// does to that, it does to this one. It may take away that calls do not block,
// and make closing wait.
type shared struct {
	net.Conn

	raw syscall.RawConn
}

func guarded(conn net.Conn) (net.Conn, error) {
	with, ok := conn.(syscall.Conn)
	if !ok {
		_ = conn.Close() // it is of no use
		return nil, fmt.Errorf("the guest's answer is no socket: %w", ErrRefused)
	}
	raw, err := with.SyscallConn()
	if err != nil {
		_ = conn.Close() // it is of no use
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

// Write is for writing what Read is for reading.
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

// Close closes the connection at once, whatever is unsent.
func (c *shared) Close() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(-1) // fails where it is closed already
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
