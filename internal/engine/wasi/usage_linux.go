package wasi

import (
	"time"

	"golang.org/x/sys/unix"
)

// modest is the priority of threads while they run modules (nice(1)): whatever
// else runs on the host comes before them, and they still come to an end.
const modest = 10

// clock is the CPU time of a thread since it was made.
type clock struct {
	id    int32 // of a clock (clock_gettime(2))
	began time.Duration
}

// threadClock is the clock of this thread, which any other may read.
func threadClock() clock {
	c := clock{id: ^int32(unix.Gettid())<<3 | 6} //nolint:gosec // a thread's number is small; 6: of a thread, and by what the scheduler counts
	c.began = c.now()
	return c
}

// now is how much time the thread has used; 0 if it is gone.
func (c clock) now() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(c.id, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano()) - c.began
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
