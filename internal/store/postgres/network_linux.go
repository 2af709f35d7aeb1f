package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// The socket option that limits the time of unacknowledged packets, and its unit.
const (
	unacknowledgedOption = unix.TCP_USER_TIMEOUT
	unacknowledgedUnit   = time.Millisecond
)
