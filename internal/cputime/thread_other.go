//go:build !linux

package cputime

import "time"

// Thread returns the wall-clock time: not all systems report the CPU time of a thread.
func Thread() time.Duration { return time.Duration(time.Now().UnixNano()) }
