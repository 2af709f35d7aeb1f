//go:build !linux

package wasi

import "time"

// threadTime is not told on this system.
func threadTime() time.Duration { return 0 }
