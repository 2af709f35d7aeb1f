//go:build unix

package egress

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// maxFiles is the open-files limit of this process.
func maxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<20)) //nolint:gosec // as bounded
}

// readFile reads from a descriptor.
func readFile(fd uintptr, b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b) //nolint:gosec // a descriptor
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// writeFile writes to a descriptor.
func writeFile(fd uintptr, b []byte) (int, error) {
	for {
		n, err := unix.Write(int(fd), b) //nolint:gosec // a descriptor
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// writeParts writes several buffers to a descriptor.
func writeParts(fd uintptr, parts [][]byte) (int, error) {
	return unix.Writev(int(fd), parts) //nolint:gosec // a descriptor
}

// isAgain reports whether a descriptor was not ready.
func isAgain(err error) bool { return errors.Is(err, unix.EAGAIN) }

// unread is the number of bytes that a socket can read now, or 0. The error is
// [io.EOF] at the end of the stream.
func unread(fd uintptr) (int, error) {
	n, err := unix.IoctlGetInt(int(fd), bytesUnread) //nolint:gosec // a descriptor
	if err != nil || n > 0 {
		return n, err
	}
	var one [1]byte
	switch n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK); { //nolint:gosec // a descriptor
	case isAgain(err), errors.Is(err, unix.EINTR):
		return 0, nil
	case err == nil && n == 0:
		return 0, io.EOF
	default:
		return n, err // a byte has arrived, or follows an out-of-band byte
	}
}

// payload passes the unread bytes of a socket to a stack.
type payload struct {
	fd   uintptr
	left int
}

// Len implements [tcpip.Payloader].
func (p *payload) Len() int { return p.left }

// Read implements [tcpip.Payloader].
func (p *payload) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := readFile(p.fd, b)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	p.left -= max(n, 0)
	return max(n, 0), err
}
