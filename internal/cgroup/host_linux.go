package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// HostMemory returns the total and the available memory of this process in bytes: that of
// the host, bounded by the limits of the container and of the control groups of the
// process, such as MemoryMax= of a systemd unit. A value that the host does not report is
// [math.MaxInt64].
func HostMemory() (total, available int64) {
	total, available = math.MaxInt64, math.MaxInt64
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		total, available = kibibytes(string(text), "MemTotal:"), kibibytes(string(text), "MemAvailable:")
	}
	own, _ := os.ReadFile("/proc/self/cgroup") // without it, no group is known
	return bounded(total, available, memoryGroups("/sys/fs/cgroup", string(own)))
}

// memoryFiles are the files of a control group with its memory limit and its usage.
// fileField is the field of stat with the part of the usage that holds pages of files,
// which the kernel takes back first.
type memoryFiles struct{ limit, usage, stat, fileField string }

// bounded returns the total and the available memory within control groups.
func bounded(total, available int64, groups []memoryFiles) (least, left int64) {
	for _, group := range groups {
		limit, err := readNumber(group.limit)
		if err != nil { // no limit
			continue
		}
		total = min(total, limit)
		used, err := readNumber(group.usage)
		if err != nil {
			continue
		}
		if text, err := os.ReadFile(group.stat); err == nil {
			pages, _ := keyedNumber(text, group.fileField) // 0 if it is malformed
			used -= pages
		}
		available = min(available, max(limit-used, 0))
	}
	return total, available
}

// memoryGroups returns the files of a process's control groups for memory and of all groups
// above them, from the mount point of control groups and the process's /proc/PID/cgroup. A
// container may see groups there that it cannot reach, and its own at the mount point.
func memoryGroups(mount, own string) (groups []memoryFiles) {
	for line := range strings.Lines(own) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(line, ":")
		base, files := mount, memoryFiles{"memory.max", "memory.current", "memory.stat", "inactive_file"}
		if controllers != "" { // version 1
			base, files = filepath.Join(mount, "memory"), memoryFiles{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"}
			if !slices.Contains(strings.Split(controllers, ","), "memory") {
				continue
			}
		}
		for path = filepath.Clean("/" + path); ; path = filepath.Dir(path) {
			dir := filepath.Join(base, path)
			groups = append(groups, memoryFiles{filepath.Join(dir, files.limit), filepath.Join(dir, files.usage), filepath.Join(dir, files.stat), files.fileField})
			if path == "/" {
				break
			}
		}
	}
	return groups
}

func kibibytes(text, name string) int64 {
	_, rest, _ := strings.Cut(text, name)
	var n int64
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return math.MaxInt64
	}
	return n << 10
}

func readNumber(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
