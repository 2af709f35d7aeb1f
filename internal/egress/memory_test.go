//go:build linux

package egress_test

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/egress"
)

// silent listens without accepting: the kernel establishes connections, but no
// program reads them, and the host buffers few of their bytes.
func silent(t testing.TB) net.Listener {
	t.Helper()
	little := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10) })
	}}
	l, err := little.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestConnectionsToAPeerThatNeverReadsTakeNoMoreMemoryThanReserved(t *testing.T) {
	l := silent(t)
	network := egress.New(egress.Options{Host: []netip.AddrPort{addrPort(l.Addr())}})
	s := attach(t, network, true, "stuff", gateway(l), "1024")
	s.Permit(egress.Grant{Project: "prj"})
	before := memory()
	s.begin(t)
	for !strings.HasSuffix(s.out.String(), "\n") {
		select {
		case <-time.After(10 * time.Millisecond): // the guest reports its end
		case <-t.Context().Done():
			t.Fatal("the guest does not end")
		}
	}
	grown := memory() - before
	now, peak := s.Held()
	t.Logf("%s: %d KiB more, %d KiB reserved", strings.TrimSpace(s.out.String()), grown>>10, now>>10)
	if got := strings.TrimSpace(s.out.String()); got != "stuffed 1024" {
		t.Errorf("it is %s, want 1024 connections", got)
	}
	if grown > now || now > 64<<20 || peak < now {
		t.Errorf("%d bytes are held, %d reserved (%d at most)", grown, now, peak)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if now, _ := s.Held(); now != 0 {
		t.Errorf("%d bytes are reserved after the end", now)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
