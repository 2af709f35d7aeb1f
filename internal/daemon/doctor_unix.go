//go:build unix

package daemon

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

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
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) { //nolint:gosec // a descriptor fits an int
		return "", false // closing the file gives it back
	}
	holder, _ := io.ReadAll(io.LimitReader(f, 32)) // as in lock
	return orUnknown(strings.TrimSpace(string(holder))), true
}
