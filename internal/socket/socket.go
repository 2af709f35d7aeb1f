//go:build unix

// Package socket holds listening sockets that outlive a process: it takes those
// that a supervisor opened beforehand, and hands its own to the program that is
// executed next, in the way of sd_listen_fds(3).
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

// The variables of the protocol. The last is of systemd 258 and later.
const (
	envCount = "LISTEN_FDS"
	envPID   = "LISTEN_PID"
	envNames = "LISTEN_FDNAMES"
	envProof = "LISTEN_PIDFDID"
)

const (
	first   = 3  // descriptor of the protocol
	most    = 64 // sockets that are taken
	unnamed = "unknown"
)

// Vars are the names of the variables of the protocol. Whoever took the sockets
// removes them, so that no child believes them to be its own.
func Vars() []string { return []string{envCount, envPID, envNames, envProof} }

// ErrInherited is a set of sockets that cannot be taken.
var ErrInherited = &lateen.Error{
	Code: lateen.Invalid, Reason: "sockets_unusable", Message: "the sockets that were passed cannot be used",
	Hint: "LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are as of sd_listen_fds(3), for listening TCP sockets; without them --listen says where to serve",
}

// Set is listening sockets, in order. Its descriptors are its own: closing a
// listener leaves the socket open, and connections wait in its backlog. The zero
// Set has none. Its methods may be called at once.
type Set struct {
	mu   sync.Mutex // guards below
	held []held
}

// held is a socket.
type held struct {
	fd   int // close-on-exec
	name string
}

// Inherit takes the sockets that environ says were passed to the process with
// the id pid, this one. None is not an error, nor are sockets for another
// process, whose variables have leaked: the set is empty then. It is
// [ErrInherited] if what is said is malformed or not so; nothing is taken then.
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

// parse reads how many sockets there are for pid, and their names.
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
		return 0, nil, ErrInherited.With("%s is %q, which is no process id", envPID, owner)
	case int(to) != pid:
		return 0, nil, nil
	}
	n, err = strconv.Atoi(count)
	if err != nil || n < 0 || n > most {
		return 0, nil, ErrInherited.With("%s is %q, which is no number from 0 to %d", envCount, count, most)
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

// lookup finds a variable; the last one of a name counts.
func lookup(environ []string, name string) (value string, ok bool) {
	for _, line := range slices.Backward(environ) {
		if key, value, found := strings.Cut(line, "="); found && key == name {
			return value, true
		}
	}
	return "", false
}

// inspect reports why fd is not a TCP socket that listens.
func inspect(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("not a socket (%w)", err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("ask for its address: %w", err)
	}
	switch at.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
	default:
		return fmt.Errorf("not a socket of the Internet protocols")
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if kind != unix.SOCK_STREAM || err != nil || listens == 0 {
		return fmt.Errorf("a socket that does not listen for connections")
	}
	return nil
}

// Len is the number of sockets.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// Listeners are listeners on all sockets, in order. The caller closes them.
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
		l, err := net.FileListener(f) // which makes a copy of its own
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

// Close closes the sockets: unless others have them too, connections are
// refused from then on.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		_ = unix.Close(h.fd) // which frees it in any case
	}
	s.held = nil
	return nil
}

// duplicate makes a descriptor above all of the protocol's for what fd stands
// for, which children do not get.
func duplicate(fd int) (int, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, first+most)
	if err != nil {
		return -1, fmt.Errorf("duplicate a descriptor: %w", err)
	}
	return copied, nil
}
