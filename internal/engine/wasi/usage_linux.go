package wasi

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// modest is the priority of threads while they run modules (nice(1)): whatever
// else runs on the host comes before them, and they still come to an end.
const modest = 10

// threadTime is the CPU time that this thread has used.
func threadTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// background gives this thread a modest priority. restore takes that back, and
// says whether it could: that takes a privilege.
func background() (restore func() bool) {
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil || unix.Setpriority(unix.PRIO_PROCESS, 0, modest) != nil {
		return nil
	}
	return func() bool { return unix.Setpriority(unix.PRIO_PROCESS, 0, 20-before) == nil } // the call returns 20 less than it means
}

// hostMemory is how many bytes of memory the host has.
func hostMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return math.MaxInt64
	}
	return int64(info.Totalram) * int64(info.Unit) //nolint:gosec // far below
}
