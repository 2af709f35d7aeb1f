package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// The socket option that limits the time of unacknowledged packets, and its unit.
const (
	unacknowledgedOption = unix.TCP_RXT_CONNDROPTIME
	unacknowledgedUnit   = time.Second
)
