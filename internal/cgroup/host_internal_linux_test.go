package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestTheMemoryOfAProcessIsBoundedByAllItsGroups(t *testing.T) {
	const host, free = 64 << 30, 32 << 30
	for name, c := range map[string]struct {
		own       string
		files     map[string]string
		total     int64
		available int64
	}{
		"no group": {"", nil, host, free},
		"a limit of the unit, above the process's group": {
			"0::/system.slice/lateen.service/platform\n",
			map[string]string{
				"memory.stat": "inactive_file 1\n", "system.slice/memory.max": "max\n",
				"system.slice/lateen.service/memory.max": "4294967296\n", "system.slice/lateen.service/memory.current": "1073741824\n",
				"system.slice/lateen.service/memory.stat": "anon 5\nactive_file 7\ninactive_file 536870912\n",
			},
			4 << 30, 3<<30 + 512<<20,
		},
		"a container that sees its group as the root": {"0::/\n", map[string]string{"memory.max": "2147483648\n", "memory.current": "1073741824\n"}, 2 << 30, 1 << 30},
		"a container that sees the path of the host":  {"0::/docker/abc\n", map[string]string{"memory.max": "2147483648\n", "memory.current": "3221225472\n"}, 2 << 30, 0},
		"a path outside of the mount":                 {"0::/../other\n", map[string]string{"memory.max": "2147483648\n"}, 2 << 30, free},
		"version 1":                                   {"9:cpu,cpuacct:/a\n4:memory:/unit\n0::/\n", map[string]string{"memory/unit/memory.limit_in_bytes": "1073741824\n", "memory/unit/memory.usage_in_bytes": "536870912\n", "memory/unit/memory.stat": "inactive_file 1\ntotal_inactive_file 268435456\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1 << 30, 768 << 20},
		"a limit of more than the machine has":        {"0::/\n", map[string]string{"memory.max": "99999999999999\n", "memory.current": "0\n"}, host, free},
	} {
		mount := t.TempDir()
		for file, text := range c.files {
			at := filepath.Join(mount, file)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if total, available := bounded(host, free, memoryGroups(mount, c.own)); total != c.total || available != c.available {
			t.Errorf("%s: %d of %d bytes, want %d of %d", name, available, total, c.available, c.total)
		}
	}
	if total, available := HostMemory(); total <= 0 || total == math.MaxInt64 || available <= 0 || available > total {
		t.Errorf("this process has %d of %d bytes", available, total)
	}
}
