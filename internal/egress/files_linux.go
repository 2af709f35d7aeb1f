package egress

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

const bytesUnread = unix.TIOCINQ // FIONREAD by its other name

// keepLittle makes the kernel keep no more than a few pieces that it cannot send
// yet: they are held for the sandbox outside of what counts as its memory.
func keepLittle(_ context.Context, network, _ string, c syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, int(2*pieceBytes)) //nolint:gosec // without it more is kept
	})
}
