package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc: the kernel's USER_HZ, 100 on all systems.
const tick = time.Second / 100

// usageOf returns the usage of a process and its living descendants, for hosts without
// a cgroup that measures it.
func usageOf(pid int) Usage {
	u := usageOfOne(pid)
	for _, child := range childrenOf(pid) {
		more := usageOf(child)
		u.CPU += more.CPU
		u.Memory += more.Memory
	}
	return u
}

// childrenOf lists the children of all threads of a process.
func childrenOf(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var children []int
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			continue // the thread has just ended
		}
		for field := range bytes.FieldsSeq(text) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// usageOfOne returns the times of a process and of the children it has reaped
// (proc_pid_stat(5)), and its memory.
func usageOfOne(pid int) Usage {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}
	}
	// The name, in parentheses, may contain any byte; counting starts after it.
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	number := func(n int) int64 { // n is the field's number in the manual page
		if n-3 >= len(fields) {
			return 0
		}
		v, _ := strconv.ParseInt(string(fields[n-3]), 10, 64) // 0 if it is no number
		return v
	}
	ticks := number(14) + number(15) + number(16) + number(17)
	return Usage{CPU: time.Duration(ticks) * tick, Memory: memoryOf(pid)}
}

// memoryOf returns the resident anonymous and shared memory of a process in bytes
// (proc_pid_status(5)). Pages of files, such as the program's own, do not count: the
// kernel frees them when it needs memory.
func memoryOf(pid int) (total int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "RssAnon" && string(name) != "RssShmem" {
			continue
		}
		if fields := bytes.Fields(value); len(fields) > 0 {
			kib, _ := strconv.ParseInt(string(fields[0]), 10, 64) // 0 if it is no number
			total += kib << 10
		}
	}
	return total
}
