package postgres_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/store/postgres"
)

// A broken network sends no signal: each end detects it by probes on the idle
// connection, and this one by packets without acknowledgement.
func TestTheConnectionOfALockIsProbedFromBothEnds(t *testing.T) {
	through, _ := halfOpen(t, newSchema(t))
	own, err := postgres.Acquire(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	conn, ok := own.Conn().(syscall.Conn)
	if !ok {
		t.Fatalf("the connection is a %T", own.Conn())
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]int{syscall.TCP_KEEPIDLE: 20, syscall.TCP_KEEPINTVL: 5, syscall.TCP_KEEPCNT: 4, unix.TCP_USER_TIMEOUT: 15_000}
	err = raw.Control(func(fd uintptr) {
		for option, value := range want {
			if got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option); err != nil || got != value {
				t.Errorf("the option %d of the socket is %d (%v), want %d", option, got, err, value)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
