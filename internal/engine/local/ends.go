package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
)

// ends are both sides of what connects a process to the engine.
type ends struct {
	control        net.Conn
	stdout, stderr *os.File // to read

	theirs [4]*os.File // control, listener, stdout and stderr of the process
}

// open makes the connections of a process; its listening socket is called name.
func (e *Engine) open(name string) (_ *ends, err error) {
	x := &ends{}
	defer func() {
		if err != nil {
			x.handOver()
			x.close()
		}
	}()
	if x.control, x.theirs[0], err = socketPair(); err != nil {
		return nil, err
	}
	if x.theirs[1], err = e.listen(name); err != nil {
		return nil, err
	}
	if x.stdout, x.theirs[2], err = os.Pipe(); err != nil {
		return nil, err
	}
	if x.stderr, x.theirs[3], err = os.Pipe(); err != nil {
		return nil, err
	}
	return x, nil
}

// handOver closes the process's side, which it has by now or never will.
func (x *ends) handOver() {
	for _, file := range x.theirs {
		if file != nil {
			file.Close()
		}
	}
}

// hangUp ends the reading of the output of a process that has exited: readers
// get what the pipes hold by now, and then the end. A descendant that outlives
// the session could write for ever.
func (x *ends) hangUp() {
	for _, file := range []*os.File{x.stdout, x.stderr} {
		_ = file.SetReadDeadline(time.Unix(1, 0)) // a pipe takes one
	}
}

// pipeReader reads a pipe until its end or its deadline, and after the deadline
// what the pipe holds, which a time limit would cut off on a busy host.
type pipeReader struct {
	file *os.File
	late bool // the deadline has passed
	left int  // bytes that are read after it, at most
}

// maxPipe is how much a pipe holds by default; see pipe(7).
const maxPipe = 64 << 10

// Read implements [io.Reader].
func (r *pipeReader) Read(b []byte) (int, error) {
	if !r.late {
		n, err := r.file.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		r.late, r.left = true, maxPipe
		if err := r.file.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	raw, err := r.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), b[:min(len(b), r.left)]) // it does not block: an empty pipe is an error
		return true
	})
	if n <= 0 || err != nil {
		return 0, io.EOF
	}
	r.left -= n
	return n, nil
}

// close closes the engine's side.
func (x *ends) close() {
	if x.control != nil {
		_ = x.control.Close() // nothing more is said on it
	}
	for _, file := range []*os.File{x.stdout, x.stderr} {
		if file != nil {
			file.Close()
		}
	}
}

// socketPair returns two connected unix sockets, ours and a guest's. The
// guest's blocks, as the agent wants it.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return conn, theirs, nil
}

// address returns the address of a socket. The kernel takes 107 bytes of a
// path, so a long one is named by the descriptor of its directory.
func (e *Engine) address(name string) *net.UnixAddr {
	path := filepath.Join(e.sockets.Name(), name)
	if len(path) > 100 {
		path = fmt.Sprintf("/proc/self/fd/%d/%s", e.sockets.Fd(), name)
	}
	return &net.UnixAddr{Name: path, Net: "unix"}
}

// listen returns a listening socket, for a guest to accept from.
func (e *Engine) listen(name string) (*os.File, error) {
	listener, err := net.ListenUnix("unix", e.address(name))
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

func (e *Engine) dial(ctx context.Context, name string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", e.address(name).Name)
}

// reachable reports a directory that guests cannot reach: without mounts of
// their own they need to pass through all that is above it.
func (e *Engine) reachable(dir string) error {
	if e.sandbox.PrivateTmp() || !e.sandbox.Identity() {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return errUnreachable.With("functions run as users of their own, who cannot pass through %s to %s", at, dir).
				WithHint("allow it with `chmod o+x %s`, or choose another directory", at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

var errUnreachable = &lateen.Error{Code: lateen.Conflict, Reason: "directory_unreachable", Message: "functions cannot reach their files"}

// makeTmp makes a directory for temporary files, where a process has no /tmp of
// its own; only who knows its name can reach it. Elsewhere it is "".
func (e *Engine) makeTmp(name string) (string, error) {
	if e.sandbox.PrivateTmp() {
		return "", nil
	}
	parent := filepath.Join(e.o.Dir, "tmp")
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return "", fmt.Errorf("make a place for temporary files: %w", err)
	}
	tmp := filepath.Join(parent, name)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return "", fmt.Errorf("make a place for temporary files: %w", err)
	}
	if err := os.Chmod(tmp, 0o777); err != nil {
		return "", fmt.Errorf("make a place for temporary files: %w", err)
	}
	return tmp, nil
}

// clean removes what a process that is gone has left.
func (e *Engine) clean(name, tmp string) {
	err := os.Remove(filepath.Join(e.sockets.Name(), name))
	if tmp != "" {
		err = os.RemoveAll(tmp)
	}
	if err != nil && !os.IsNotExist(err) {
		e.o.Log.Warn("a guest's leavings stay", "err", err)
	}
}
