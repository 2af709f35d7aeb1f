package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Listen listens on a unix socket that only this user, and root, can connect to. It
// replaces the socket of an earlier process, and no other file.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("make the worker's socket: %s exists, and is not a socket", path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the worker's socket: %w", err)
	}
	private, err := os.MkdirTemp(dir, ".w") // no other user can pass it while the socket has another mode
	if err != nil {
		return nil, fmt.Errorf("make the worker's socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(private) }() // it is empty then
	name := filepath.Join(private, "s")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // a successor may have taken its name
	}
	if err := errors.Join(os.Chmod(name, 0o600), os.Rename(name, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the worker's socket: %w", err), l.Close())
	}
	return &listener{l, path}, nil
}

// listener is a unix socket under another name than the one it was bound to.
type listener struct {
	net.Listener

	path string
}

// Addr returns the path of the socket.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
