//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
)

// lockName is the file in the data directory that is locked; the process id of
// whoever has it is in it.
const lockName = "lock"

// errDataInUse says that another daemon has the data directory.
var errDataInUse = &lateen.Error{Code: lateen.Conflict, Reason: "data_in_use", Message: "another lateen uses this data directory", Hint: "stop it, or choose another directory with --data"}

// lock takes the data directory for this process alone. It is free again when
// the file is closed or the process ends, however it ends.
func lock(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // an empty answer only makes the message poorer
		f.Close()
		return nil, errDataInUse.With("lateen with process id %s uses %s already", orUnknown(strings.TrimSpace(string(holder))), dir)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
