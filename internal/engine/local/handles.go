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

// handles are both ends of the connections between a process and the engine.
type handles struct {
	control        net.Conn
	stdout, stderr *os.File // read ends of the pipes

	remote [4]*os.File // the process's ends: control, listener, stdout, stderr
}

// open creates the connections of a process, with a listening socket of that name.
func (e *Engine) open(name string) (_ *handles, err error) {
	x := &handles{}
	defer func() {
		if err != nil {
			x.closeRemote()
			x.close()
		}
	}()
	if x.control, x.remote[0], err = socketPair(); err != nil {
		return nil, err
	}
	if x.remote[1], err = e.listen(name); err != nil {
		return nil, err
	}
	if x.stdout, x.remote[2], err = os.Pipe(); err != nil {
		return nil, err
	}
	if x.stderr, x.remote[3], err = os.Pipe(); err != nil {
		return nil, err
	}
	return x, nil
}

// closeRemote closes the process's ends in the engine: after the start the process
// has duplicates, after a failed start nothing needs them.
func (x *handles) closeRemote() {
	for _, file := range x.remote {
		if file != nil {
			file.Close()
		}
	}
}

// endOutput ends the reading of the output of a process that has exited: readers get
// the current content of the pipes, and then EOF. A descendant that outlives the
// session could otherwise write without end.
func (x *handles) endOutput() {
	for _, file := range []*os.File{x.stdout, x.stderr} {
		_ = file.SetReadDeadline(time.Unix(1, 0)) // a pipe takes one
	}
}

// pipeReader reads a pipe until EOF or its deadline. After the deadline it reads the
// current content of the pipe, which a time limit alone would cut off on a busy
// host.
type pipeReader struct {
	file *os.File
	late bool // the deadline has passed
	left int  // maximum bytes to read after the deadline
}

// maxPipe is the default capacity of a pipe; see pipe(7).
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
		n, _ = syscall.Read(int(fd), b[:min(len(b), r.left)]) // the descriptor does not block: an empty pipe is an error
		return true
	})
	if n <= 0 || err != nil {
		return 0, io.EOF
	}
	r.left -= n
	return n, nil
}

// close closes the engine's ends.
func (x *handles) close() {
	if x.control != nil {
		_ = x.control.Close() // an error has no effect: nothing follows on this connection
	}
	for _, file := range []*os.File{x.stdout, x.stderr} {
		if file != nil {
			file.Close()
		}
	}
}

// socketPair returns two connected unix sockets, the engine's and the guest's. The
// guest's socket is in blocking mode, which the agent requires.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("create a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("create a socket pair: %w", err)
	}
	return conn, theirs, nil
}

// address returns the address of a socket. The kernel limits a path to 107 bytes, so
// a long path goes through the descriptor of the directory.
func (e *Engine) address(name string) *net.UnixAddr {
	path := filepath.Join(e.sockets.Name(), name)
	if len(path) > 100 {
		path = fmt.Sprintf("/proc/self/fd/%d/%s", e.sockets.Fd(), name)
	}
	return &net.UnixAddr{Name: path, Net: "unix"}
}

// listen returns a listening socket for a guest.
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

// reachable returns an error for a directory that guests cannot reach: guests
// without mounts of their own need search permission on all parent directories.
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
func (e *Engine) makeTmp(name string) (string, error) {
	if e.sandbox.PrivateTmp() {
		return "", nil
	}
	parent := filepath.Join(e.o.Dir, "tmp")
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
func (e *Engine) clean(name, tmp string) {
	err := os.Remove(filepath.Join(e.sockets.Name(), name))
	if tmp != "" {
		err = os.RemoveAll(tmp)
	}
	if err != nil && !os.IsNotExist(err) {
		e.o.Log.Warn("could not remove a guest's socket or temporary files", "err", err)
	}
}
