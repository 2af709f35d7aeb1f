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
	"github.com/lateen-dev/lateen/internal/guest/guesttest"
)

// descriptor returns another descriptor of a connection and leaves conn open.
func descriptor(t *testing.T, conn *net.UnixConn) int {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return int(file.Fd()) // Fd makes it blocking
}

func TestUnexpectedDescriptorsAreClosed(t *testing.T) {
	_, server := guesttest.Pair(t)
	passed := descriptor(t, server)
	for _, count := range []int{0, 2, 3, 50} {
		ours, theirs := guesttest.Pair(t)
		before := guesttest.Open(t, "socket:")
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
		if after := guesttest.Open(t, "socket:"); after != before-1 { // Receive has closed its own
			t.Errorf("with %d descriptors there are %d sockets more", count, after-before+1)
		}
	}
}

func TestAGuestCannotMakeItsSupervisorBlock(t *testing.T) {
	client, server := guesttest.Pair(t)
	ours, theirs := guesttest.Pair(t)
	passed := descriptor(t, server)
	if _, _, err := theirs.WriteMsgUnix([]byte{0}, unix.UnixRights(passed), nil); err != nil {
		t.Fatal(err)
	}
	conn, err := guest.Receive(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := unix.SetNonblock(passed, false); err != nil { // for all holders of the socket
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read without data: %v, want the deadline's error", err)
	}
	for written := 0; written == 0; { // again if the deadline ended before the first byte
		if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if written, err = conn.Write(make([]byte, 10<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a write without a reader: %d bytes, %v, want the deadline's error", written, err)
		}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	go io.Copy(io.Discard, client)
}

func TestAReceivedConnectionCarriesBothWays(t *testing.T) {
	client, server := guesttest.Pair(t)
	ours, theirs := guesttest.Pair(t)
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

// TestDescriptorsOtherThanSocketsAreNotPolled: before an epoll set may be polled, the kernel
// walks through all sets that it contains, and for sets of sets that is millions of
// steps. A non-blocking descriptor was polled before Receive checked that it is a
// socket.
func TestDescriptorsOtherThanSocketsAreNotPolled(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	set, setErr := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	event, eventErr := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	datagrams, socketErr := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err := errors.Join(setErr, eventErr, socketErr, unix.SetNonblock(set, true)); err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{"epoll set": set, "event": event, "pipe": pipe[0], "datagrams": datagrams} {
		ours, theirs := guesttest.Pair(t)
		if _, _, err := theirs.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil); err != nil {
			t.Fatal(err)
		}
		before := guesttest.Open(t, "")
		conn, err := guest.Receive(t.Context(), ours)
		if !errors.Is(err, guest.ErrRefused) {
			t.Errorf("%s: %v, %v, want ErrRefused", name, conn, err)
		}
		if after := guesttest.Open(t, ""); err != nil && after != before-1 { // Receive has closed its own
			t.Errorf("%s: %d descriptors more", name, after-before+1)
		}
	}
	for _, fd := range []int{set, event, pipe[0], pipe[1], datagrams} {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
}
