//go:build linux

// Package guesttest has helpers for tests of guests and of their supervisors: socket
// pairs for passing descriptors, and a count of open descriptors.
package guesttest

import (
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Pair returns the two ends of a connected socket, which are closed with the test.
func Pair(t testing.TB) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "end")
		conn, err := net.FileConn(file)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the test may have closed it
		end, ok := conn.(*net.UnixConn)
		if !ok {
			t.Fatalf("the end of a socket pair is %T", conn)
		}
		ends[i] = end
	}
	return ends[0], ends[1]
}

// Open counts this process's descriptors whose target contains part: "socket:", or the
// path of a file.
func Open(t testing.TB, part string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(target, part) {
			n++
		}
	}
	return n
}
