//go:build unix

// Package socket passes listening sockets between programs by the protocol of
// sd_listen_fds(3): it takes those that a supervisor has opened, and passes its own to
// the program that this process executes next.
package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
)

// The environment variables of the protocol. The last one exists since systemd 258.
const (
	envCount = "LISTEN_FDS"
	envPID   = "LISTEN_PID"
	envNames = "LISTEN_FDNAMES"
	envProof = "LISTEN_PIDFDID"
)

const (
	first   = 3  // first descriptor of the protocol
	most    = 64 // maximum number of sockets
	unnamed = "unknown"
)

// Vars returns the names of the variables of the protocol. The caller of [Inherit]
// removes them from the environment, so that no child process takes them for its own.
func Vars() []string { return []string{envCount, envPID, envNames, envProof} }

// ErrInherited is the error of inherited sockets that cannot be used.
var ErrInherited = &lateen.Error{
	Code: lateen.Invalid, Reason: "sockets_unusable", Message: "the inherited sockets cannot be used",
	Hint: "set LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES for listening TCP sockets, as in sd_listen_fds(3), or unset them and use --listen",
}

// Set is an ordered set of listening sockets. It has descriptors of its own: after a
// listener is closed, its socket stays open, and connections wait in the backlog. The
// zero Set is empty. Its methods may be called concurrently.
type Set struct {
	mu   sync.Mutex // guards held
	held []held
}

// held is a socket.
type held struct {
	fd   int // close-on-exec
	name string
}

// Inherit takes the sockets that the variables in environ pass to this process, whose
// ID is pid. The set is empty if there are no variables, or if they name another
// process, from which they have leaked. The error is [ErrInherited] if the variables are
// malformed or do not match the open descriptors; Inherit takes no socket then.
func Inherit(environ []string, pid int) (*Set, error) {
	n, names, err := parse(environ, pid)
	if err != nil {
		return nil, err
	}
	s := &Set{}
	for i := range n {
		if err := inspect(first + i); err != nil {
			return nil, ErrInherited.With("descriptor %d of %s=%d: %s", first+i, envCount, n, err)
		}
		s.held = append(s.held, held{fd: first + i, name: names[i]})
	}
	for _, h := range s.held {
		unix.CloseOnExec(h.fd)
	}
	return s, nil
}

// parse reads the number of sockets for pid and their names.
func parse(environ []string, pid int) (n int, names []string, err error) {
	count, ok := lookup(environ, envCount)
	if !ok {
		return 0, nil, nil
	}
	owner, ok := lookup(environ, envPID)
	if !ok {
		return 0, nil, ErrInherited.With("%s is set and %s is not", envCount, envPID)
	}
	switch to, err := strconv.ParseUint(owner, 10, 31); {
	case err != nil || to == 0:
		return 0, nil, ErrInherited.With("%s is %q, not a process ID", envPID, owner)
	case int(to) != pid:
		return 0, nil, nil
	}
	n, err = strconv.Atoi(count)
	if err != nil || n < 0 || n > most {
		return 0, nil, ErrInherited.With("%s is %q, not a number from 0 to %d", envCount, count, most)
	}
	list, ok := lookup(environ, envNames)
	if !ok {
		return n, slices.Repeat([]string{unnamed}, n), nil
	}
	if names = strings.Split(list, ":"); n == 0 && list == "" {
		names = nil
	}
	if len(names) != n {
		return 0, nil, ErrInherited.With("%s has %d names and %s is %d", envNames, len(names), envCount, n)
	}
	return n, names, nil
}

// lookup returns the value of a variable; if the name is repeated, the last one counts.
func lookup(environ []string, name string) (value string, ok bool) {
	for _, line := range slices.Backward(environ) {
		if key, value, found := strings.Cut(line, "="); found && key == name {
			return value, true
		}
	}
	return "", false
}

// inspect returns an error if fd is not a listening TCP socket.
func inspect(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("not a socket (%w)", err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("get its address: %w", err)
	}
	switch at.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
	default:
		return fmt.Errorf("not an Internet socket")
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if kind != unix.SOCK_STREAM || err != nil || listens == 0 {
		return fmt.Errorf("a socket that does not listen for connections")
	}
	return nil
}

// Len returns the number of sockets.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// Listeners returns listeners on all sockets, in order. The caller closes them.
func (s *Set) Listeners() (all []net.Listener, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		for _, l := range all {
			if err != nil {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	for _, h := range s.held {
		copied, err := duplicate(h.fd)
		if err != nil {
			return all, err
		}
		f := os.NewFile(uintptr(copied), h.name)
		l, err := net.FileListener(f) // duplicates the descriptor
		f.Close()
		if err != nil {
			return all, fmt.Errorf("listen on the socket %q: %w", h.name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// Keep adds the socket of a listener.
func (s *Set) Keep(name string, l syscall.Conn) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return fmt.Errorf("keep the socket %q: %w", name, err)
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(own uintptr) { fd, failed = duplicate(int(own)) }) //nolint:gosec // a descriptor fits an int
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("keep the socket %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, held{fd: fd, name: name})
	return nil
}

// Close closes the sockets. Unless another process has them open, the kernel refuses
// connections from then on.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		_ = unix.Close(h.fd) // frees the descriptor even after an error
	}
	s.held = nil
	return nil
}

// duplicate duplicates fd to a close-on-exec descriptor above those of the protocol.
func duplicate(fd int) (int, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, first+most)
	if err != nil {
		return -1, fmt.Errorf("duplicate a descriptor: %w", err)
	}
	return copied, nil
}
