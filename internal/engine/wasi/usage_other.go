//go:build !linux

package wasi

import (
	"math"
	"time"
)

// threadTime is not told on this system.
func threadTime() time.Duration { return 0 }

// background does nothing: threads have no priority of their own here.
func background() (restore func() bool) { return nil }

// hostMemory is not told on this system.
func hostMemory() int64 { return math.MaxInt64 }
