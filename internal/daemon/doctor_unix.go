//go:build unix

package daemon

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openFiles is how many files this process may ever have open.
func openFiles() (uint64, bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err == nil
}

// heldBy returns the process id of the daemon that has the data directory, and
// whether one has.
func heldBy(dir string) (string, bool) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return "", false
	}
	defer f.Close()
	if free(f) {
		return "", false
	}
	return holderOf(f).String(), true
}

// diskSize is how many bytes the file system of a directory has, 0 if it is not
// to be known.
func diskSize(dir string) int64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0
	}
	return int64(stat.Blocks) * int64(stat.Bsize) //nolint:gosec,unconvert // far below; the types differ by system
}
