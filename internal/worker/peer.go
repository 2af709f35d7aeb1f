package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// checkPeer refuses a peer of another user than this one or root: the mode of a socket
// may be loosened, and the directory of a socket may let others replace it. An
// invocation contains secrets.
func checkPeer(conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("find the user of the peer: %w", err)
	}
	var uid int
	if controlErr := raw.Control(func(fd uintptr) { uid, err = peerUser(int(fd)) }); controlErr != nil { //nolint:gosec // a descriptor
		err = controlErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("find the user of the peer: %w", err)
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("the peer belongs to the user %d, neither to this one nor to root", uid)
	}
	return nil
}

// guarded is a listener that closes connections of other users.
type guarded struct {
	net.Listener

	log *slog.Logger
}

// Accept implements [net.Listener].
func (l *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		refused := checkPeer(conn)
		if refused == nil {
			return conn, nil
		}
		l.log.Warn("a connection is refused", "err", refused)
		_ = conn.Close() // it carries nothing
	}
}

// Dial returns a function that connects to the socket.
func Dial(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		if err := checkPeer(conn); err != nil {
			_ = conn.Close() // it carries nothing
			return nil, err
		}
		return conn, nil
	}
}
