//go:build linux

package guest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/guest"
)

// pair returns the two ends of a connected socket.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "end")
		conn, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return ends[0], ends[1]
}

// descriptor is one more descriptor of a connection, which stays as it is.
func descriptor(t *testing.T, conn *net.UnixConn) int {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return int(file.Fd()) // which makes it block
}

func sockets(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func TestDescriptorsThatNobodyAskedForAreClosed(t *testing.T) {
	_, server := pair(t)
	passed := descriptor(t, server)
	for _, count := range []int{0, 2, 3, 50} {
		ours, theirs := pair(t)
		before := sockets(t)
		fds := make([]int, count)
		for i := range fds {
			fds[i] = passed
		}
		if _, _, err := theirs.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := guest.Receive(t.Context(), ours); !errors.Is(err, guest.ErrRefused) {
			t.Errorf("with %d descriptors: %v, want ErrRefused", count, err)
		}
		if after := sockets(t); after != before-1 { // Receive has closed its own
			t.Errorf("with %d descriptors there are %d sockets more", count, after-before+1)
		}
	}
}

func TestAGuestCannotMakeItsSupervisorBlock(t *testing.T) {
	client, server := pair(t)
	ours, theirs := pair(t)
	passed := descriptor(t, server)
	if _, _, err := theirs.WriteMsgUnix([]byte{0}, unix.UnixRights(passed), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := guest.Receive(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := unix.SetNonblock(passed, false); err != nil { // for all who have it
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading nothing: %v, want that the deadline is over", err)
	}
	if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write(make([]byte, 10<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Errorf("writing what nobody reads: %d bytes, %v, want that the deadline is over", n, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading what was closed meanwhile: %v", err)
	}
	go io.Copy(io.Discard, client)
}

func TestAReceivedConnectionCarriesBothWays(t *testing.T) {
	client, server := pair(t)
	ours, theirs := pair(t)
	if _, _, err := theirs.WriteMsgUnix([]byte{0}, unix.UnixRights(descriptor(t, server)), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := guest.Receive(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := strings.Repeat("to and fro ", 1<<18)
	go func() {
		io.WriteString(client, text)
		client.CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || string(got) != text {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	go func() {
		io.WriteString(conn, text)
		conn.Close()
	}()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
		t.Errorf("%v", err)
	}
}
