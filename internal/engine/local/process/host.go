// Package process boots the runtime processes of functions in sandboxes, or forks
// them, and connects them with the engine: a control connection, a socket for
// requests, and the output.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// PrepareTimeout is the time limit of a preparation: of work that makes later starts
// cheaper, and that no start waits for.
const PrepareTimeout = 60 * time.Second

// Host starts processes in sandboxes on this machine, and owns their sockets and
// temporary files.
type Host struct {
	Options
	tasks

	standbys standbys

	Sockets *os.File // directory of the listening sockets
}

// Options are the settings of a [host].
type Options struct {
	Sandbox       *sandbox.Sandbox
	Dir           string           // holds sockets and temporary files
	Logs          engine.LogSink   // takes the log lines of functions
	Usage         engine.UsageSink // takes the usage of processes that are no instances; nil discards it
	Network       *egress.Network  // nil: processes have no network
	Memory        int              // default memory limit of an instance, in MiB
	TimeoutFactor int              // factor of every timeout
	Log           *slog.Logger
}

// OpenSockets creates the directory of the sockets.
func (h *Host) OpenSockets() error {
	sockets := filepath.Join(h.Dir, "sockets")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return err
	}
	var err error
	h.Sockets, err = os.Open(sockets)
	return err
}

// Close closes the host after its processes have ended.
func (h *Host) Close() error { return h.Sockets.Close() }

// Scaled scales a timeout for this machine.
func (h *Host) Scaled(usual time.Duration) time.Duration {
	return usual * time.Duration(h.TimeoutFactor)
}

// WithTimeout returns ctx with a scaled timeout.
func (h *Host) WithTimeout(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.Scaled(usual), fmt.Errorf("timeout after %v", h.Scaled(usual)))
}

// address returns the address of a socket. The kernel limits a path to 107 bytes, so
// a long path goes through the descriptor of the directory.
func (h *Host) address(name string) *net.UnixAddr {
	path := filepath.Join(h.Sockets.Name(), name)
	if len(path) > 100 {
		path = fmt.Sprintf("/proc/self/fd/%d/%s", h.Sockets.Fd(), name)
	}
	return &net.UnixAddr{Name: path, Net: "unix"}
}

// listen returns a listening socket for a guest.
func (h *Host) listen(name string) (*os.File, error) {
	listener, err := net.ListenUnix("unix", h.address(name))
	if err != nil {
		return nil, fmt.Errorf("listen for a guest: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	file, err := listener.File()
	if err := errors.Join(err, listener.Close()); err != nil {
		return nil, fmt.Errorf("listen for a guest: %w", err)
	}
	return file, nil
}

func (h *Host) dial(ctx context.Context, name string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", h.address(name).Name)
}

// Reachable returns an error for a directory that guests cannot reach: guests
// without mounts of their own need search permission on all parent directories.
func (h *Host) Reachable(dir string) error {
	if h.Sandbox.PrivateTmp() || !h.Sandbox.Identity() {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return errUnreachable.With("the users of functions have no access through %s to %s", at, dir).
				WithHint("allow it with `chmod o+x %s`, or choose another directory", at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

var errUnreachable = &lateen.Error{Code: lateen.Conflict, Reason: "directory_unreachable", Message: "functions cannot reach their files"}

// makeTmp creates a directory for temporary files if the process has no /tmp of its
// own, and else returns "". Its unguessable name hides it from other processes.
func (h *Host) makeTmp(name string) (string, error) {
	if h.Sandbox.PrivateTmp() {
		return "", nil
	}
	parent := filepath.Join(h.Dir, "tmp")
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return "", fmt.Errorf("create a directory for temporary files: %w", err)
	}
	tmp := filepath.Join(parent, name)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return "", fmt.Errorf("create a directory for temporary files: %w", err)
	}
	if err := os.Chmod(tmp, 0o777); err != nil {
		return "", fmt.Errorf("create a directory for temporary files: %w", err)
	}
	return tmp, nil
}

// clean removes the socket and the temporary files of a process that has ended.
func (h *Host) clean(name, tmp string) {
	err := os.Remove(filepath.Join(h.Sockets.Name(), name))
	if tmp != "" {
		err = os.RemoveAll(tmp)
	}
	if err != nil && !os.IsNotExist(err) {
		h.Log.Warn("could not remove a guest's socket or temporary files", "err", err)
	}
}
