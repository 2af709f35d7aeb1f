// Package proc reads the data of Linux about running processes (proc(5)). Data of a
// process that has ended counts as zero.
package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Tree is the ids of a process and of everything that it started.
func Tree(pid int) []int {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, name := range stats {
		if fields := statOf(name); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statOf is /proc/PID/stat from its third field on: the fields before may contain
// spaces.
func statOf(name string) []string {
	text := Text(name)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// CPU is the processor time that a process and everything it started have used,
// with a resolution of a clock tick (10 ms). That of processes that have ended
// counts, as their parents waited for them: it never decreases.
func CPU(pid int) time.Duration {
	var sum float64
	for _, pid := range Tree(pid) {
		fields := statOf(fmt.Sprintf("/proc/%d/stat", pid))
		if len(fields) < 15 {
			continue
		}
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseFloat(field, 64)
			sum += n
		}
	}
	return time.Duration(sum / 100 * float64(time.Second))
}

// Ran is the time that all threads of processes have been on a processor, to
// the nanosecond.
func Ran(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			continue
		}
		for _, name := range threads {
			first, _, _ := strings.Cut(Text(name), " ")
			n, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

// Resident is a process's memory in bytes: all of it (RSS), and with shared pages
// divided among the processes that share them (PSS).
func Resident(pid int) (rss, pss int64) {
	for line := range strings.Lines(Text(fmt.Sprintf("/proc/%d/smaps_rollup", pid))) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil {
			rss = kib << 10
		}
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			pss = kib << 10
		}
	}
	return rss, pss
}

// Text is a file's text, "" if it cannot be read.
func Text(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(text)
}
