package template

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// tmpNearlyFull reports whether temporary files use more than a quarter of a
// sandboxed process's space for them.
func tmpNearlyFull(pid int) bool {
	var s unix.Statfs_t
	err := unix.Statfs(fmt.Sprintf("/proc/%d/root/tmp", pid), &s)
	return err == nil && s.Bfree < s.Blocks/4*3
}
