//go:build !linux

package wasi

import "time"

// clock is the CPU time of a thread, which is not told on this system.
type clock struct{}

func threadClock() clock { return clock{} }

func (clock) now() time.Duration { return 0 }

// background does nothing: threads have no priority of their own here.
func background() (restore func() bool) { return nil }
