package egress

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

const bytesUnread = unix.TIOCINQ // FIONREAD by its other name

// limitUnsent limits the bytes that the kernel buffers before it can send them: this
// memory is not counted for the sandbox.
func limitUnsent(_ context.Context, network, _ string, c syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, int(2*chunkBytes)) //nolint:gosec // without it the kernel buffers more
	})
}
