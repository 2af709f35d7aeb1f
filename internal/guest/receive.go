package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
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
	messages, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("the guest's answer: %w", ErrRefused)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("the guest's answer: %w", ErrRefused)
	}
	syscall.CloseOnExec(fds[0])
	file := os.NewFile(uintptr(fds[0]), "server")
	defer file.Close()
	server, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("the guest's answer: %w", err)
	}
	return server, nil
}
