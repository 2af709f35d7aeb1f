package cgroup

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// HostMemory returns how much memory this host has, and how much of it is left,
// in bytes; a container has what it may use. Nothing is known of a host that
// does not say: it has no end.
func HostMemory() (total, spare int64) {
	total, spare = math.MaxInt64, math.MaxInt64
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		total, spare = kibibytes(string(text), "MemTotal:"), kibibytes(string(text), "MemAvailable:")
	}
	for _, group := range []struct{ limit, usage string }{ // as a container sees its own
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, err := readNumber(group.limit)
		if err != nil || limit >= total { // there is none
			continue
		}
		total = limit
		if used, err := readNumber(group.usage); err == nil {
			spare = min(spare, max(limit-used, 0))
		}
	}
	return total, spare
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
