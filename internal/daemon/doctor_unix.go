//go:build unix

package daemon

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openFiles returns the hard limit of open files of this process.
func openFiles() (uint64, bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err == nil
}

// heldBy returns the process id of the daemon that has locked the data directory,
// and whether there is one.
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

// diskSize returns the size of a directory's file system in bytes, or 0 if it is
// unknown.
func diskSize(dir string) int64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0
	}
	return int64(stat.Blocks) * int64(stat.Bsize) //nolint:gosec,unconvert // far below the bounds of int64; the types differ by system
}
