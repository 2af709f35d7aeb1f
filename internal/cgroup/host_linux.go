package cgroup

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// HostMemory returns the total and the available memory of this host in bytes. In a
// container, its memory limit bounds both. A value that the host does not report is
// [math.MaxInt64].
func HostMemory() (total, available int64) {
	total, available = math.MaxInt64, math.MaxInt64
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		total, available = kibibytes(string(text), "MemTotal:"), kibibytes(string(text), "MemAvailable:")
	}
	for _, group := range []struct{ limit, usage string }{ // paths of a container's own group
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, err := readNumber(group.limit)
		if err != nil || limit >= total { // no limit
			continue
		}
		total = limit
		if used, err := readNumber(group.usage); err == nil {
			available = min(available, max(limit-used, 0))
		}
	}
	return total, available
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
