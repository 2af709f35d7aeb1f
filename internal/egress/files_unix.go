//go:build unix

package egress

import "golang.org/x/sys/unix"

// maxFiles is how many files this process may have open.
func maxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<20)) //nolint:gosec // as bounded
}

// readFile reads from a descriptor.
func readFile(fd uintptr, b []byte) (int, error) { return unix.Read(int(fd), b) }
