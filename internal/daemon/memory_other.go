//go:build !linux

package daemon

// machineMemory is not known here.
func machineMemory() int64 { return 0 }
