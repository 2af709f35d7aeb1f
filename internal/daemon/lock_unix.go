//go:build unix

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
)

// lockName is the lock file of the data directory. The process that holds the lock
// writes its process id, the time of its start and a message to it, a line each.
const lockName = "lock"

// errDataInUse reports that another daemon has locked the data directory.
var errDataInUse = &lateen.Error{Code: lateen.Conflict, Reason: "data_in_use", Message: "another lateen uses this data directory", Hint: "stop it, or choose another directory with --data"}

// errNotRunning reports that no daemon has locked the data directory.
var errNotRunning = &lateen.Error{Code: lateen.NotFound, Reason: "not_running", Message: "no lateen uses this data directory", Hint: "start it with `lateen up`, or name its directory with --data"}

var errNotReloaded = &lateen.Error{Code: lateen.Internal, Reason: "not_reloaded", Message: "the platform was not reloaded"}

var errNotYours = &lateen.Error{Code: lateen.Forbidden, Reason: "platform_of_another_user", Message: "the platform belongs to another user", Hint: "run the command as that user or as root"}

// dirLock is the lock of a data directory.
type dirLock struct {
	f     *os.File
	began time.Time
}

// lock locks the files of the data directory that the lock file called name stands
// for. Closing the lock or the end of the process, for any reason, releases it.
func lock(dir, name string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	err = takeLock(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, errDataInUse.With("lateen with process id %s uses %s already", holderOf(f), dir)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	h := &dirLock{f: f, began: time.Now()}
	_ = h.write("") // the platform must start on a full disk
	return h, nil
}

// awaitLock waits for the lock file called name, and holds it until unlock is called.
func awaitLock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { //nolint:gosec // a descriptor fits an int
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which releases it
}

// releaseTimeout is the longest time that a lock may outlive its holder: a child process
// that the holder was starting shares the lock until it executes its program or
// exits.
const releaseTimeout = 5 * time.Second

// takeLock locks f. It waits only for a lock whose holder has ended.
func takeLock(f *os.File) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(releaseTimeout); ; <-tick.C {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
		if !errors.Is(err, unix.EWOULDBLOCK) || holderOf(f).alive() || time.Now().After(deadline) {
			return err
		}
	}
}

// alive reports whether a process with the holder's id exists.
func (h holder) alive() bool {
	pid, err := strconv.Atoi(h.pid)
	return err == nil && pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// write replaces the content of the lock file.
func (h *dirLock) write(text string) error {
	text = fmt.Sprintf("%d\n%d\n%s\n", os.Getpid(), h.began.UnixNano(), strings.ReplaceAll(text, "\n", " "))
	if err := h.f.Truncate(0); err != nil {
		return err
	}
	_, err := h.f.WriteAt([]byte(text), 0)
	return err
}

// report writes a message for the processes that wait in [Reload]. If it fails, they
// wait longer.
func (h *dirLock) report(text string) {
	_ = h.write(fmt.Sprintf("%s: %s", time.Now().Format(time.RFC3339Nano), text))
}

// Close releases the data directory, even if a process that is being started still
// has the descriptor.
func (h *dirLock) Close() error {
	return errors.Join(unix.Flock(int(h.f.Fd()), unix.LOCK_UN), h.f.Close()) //nolint:gosec // a descriptor fits an int
}

// holder is the content of a lock file.
type holder struct{ pid, began, message string }

func holderOf(f *os.File) holder {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096)) // without the content, messages have less detail
	lines := append(strings.Split(string(text), "\n"), "", "", "")
	return holder{lines[0], lines[1], lines[2]}
}

// String is the process id.
func (h holder) String() string { return cmp.Or(h.pid, "unknown") }

// Reload reloads the platform in a data directory. It returns when the successor has
// locked the directory, when the platform reports the reason why it was not
// reloaded, or when ctx ends.
func Reload(ctx context.Context, dir string) error {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return errNotRunning.With("no lateen uses %s", dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		return errNotYours.Because(err)
	}
	if err != nil {
		return fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	defer f.Close()
	if free(f) {
		return errNotRunning.With("no lateen uses %s", dir)
	}
	before := holderOf(f)
	pid, err := strconv.Atoi(before.pid)
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s has no valid process id: %q", f.Name(), before.pid)
	}
	if err := unix.Kill(pid, unix.SIGHUP); errors.Is(err, unix.EPERM) {
		return errNotYours.With("process %d belongs to another user", pid)
	} else if err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return awaitSuccessor(ctx, f, pid, before)
}

// awaitSuccessor waits until another start is in the lock file.
func awaitSuccessor(ctx context.Context, f *os.File, pid int, before holder) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now := holderOf(f)
		switch {
		case now.began == "": // the holder is writing it
		case now.began != before.began:
			return nil
		case now.message != before.message:
			return errNotReloaded.With("the platform keeps running unchanged: %s", now.message)
		case errors.Is(unix.Kill(pid, 0), unix.ESRCH):
			return errNotReloaded.With("the platform has ended").WithHint("see the log of the platform")
		}
	}
}

// free reports whether no process holds the lock.
func free(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
	if err == nil {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) //nolint:gosec // as above; closing releases it too
	}
	return err == nil
}
