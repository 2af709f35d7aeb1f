//go:build !linux

package local

import "math"

// memoryOf knows of no bounds here.
func memoryOf() (total, spare int64) { return math.MaxInt64, math.MaxInt64 }

// memory knows of nothing here.
func (w *worker) memory() int64 { return 0 }
