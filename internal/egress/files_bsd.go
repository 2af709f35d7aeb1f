//go:build unix && !linux

package egress

import (
	"context"
	"syscall"
)

const bytesUnread = 0x4004667f // FIONREAD, which x/sys/unix lacks

// limitUnsent has no effect: no sandbox is connected on this system.
func limitUnsent(context.Context, string, string, syscall.RawConn) error { return nil }
