//go:build !linux

package cgroup

import "math"

// HostMemory returns no limits on this system.
func HostMemory() (total, available int64) { return math.MaxInt64, math.MaxInt64 }
