package process

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// handles are both ends of the connections between a process and the engine.
type handles struct {
	control        net.Conn
	stdout, stderr *os.File // read ends of the pipes

	remote [4]*os.File // the process's ends: control, listener, stdout, stderr
}

// open creates the connections of a process, with a listening socket of that name.
func (h *Host) open(name string) (_ *handles, err error) {
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
	if x.remote[1], err = h.listen(name); err != nil {
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
