package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc: the kernel's USER_HZ, 100 everywhere.
const tick = time.Second / 100

// usageOf returns what a process and its descendants use, where no group
// measures it; nothing of those that are gone.
func usageOf(pid int) Usage {
	u := usageOfOne(pid)
	for _, child := range childrenOf(pid) {
		more := usageOf(child)
		u.CPU += more.CPU
		u.Memory += more.Memory
	}
	return u
}

// childrenOf lists the processes that the threads of a process started.
func childrenOf(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var children []int
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			continue // it has just ended
		}
		for field := range bytes.FieldsSeq(text) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// usageOfOne reads a process's line of statistics (proc_pid_stat(5)): times of
// its own and of children it has waited for, and resident pages.
func usageOfOne(pid int) Usage {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}
	}
	// The name, in parentheses, may hold anything; counting starts behind it.
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	number := func(n int) int64 { // by its number in the manual page
		if n-3 >= len(fields) {
			return 0
		}
		v, _ := strconv.ParseInt(string(fields[n-3]), 10, 64) // 0 where it is none
		return v
	}
	ticks := number(14) + number(15) + number(16) + number(17)
	return Usage{CPU: time.Duration(ticks) * tick, Memory: number(24) * int64(os.Getpagesize())}
}
