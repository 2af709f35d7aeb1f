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

// lockName is the file in the data directory that is locked. Whoever has it
// writes its process id, the time of its start and what it has to say, a line each.
const lockName = "lock"

// errDataInUse says that another daemon has the data directory.
var errDataInUse = &lateen.Error{Code: lateen.Conflict, Reason: "data_in_use", Message: "another lateen uses this data directory", Hint: "stop it, or choose another directory with --data"}

// errNotRunning says that no daemon has the data directory.
var errNotRunning = &lateen.Error{Code: lateen.NotFound, Reason: "not_running", Message: "no lateen uses this data directory", Hint: "start it with `lateen up`, or name its directory with --data"}

var errNotReloaded = &lateen.Error{Code: lateen.Internal, Reason: "not_reloaded", Message: "the platform was not reloaded"}

var errNotYours = &lateen.Error{Code: lateen.Forbidden, Reason: "platform_of_another_user", Message: "the platform belongs to another user", Hint: "be that user, or root"}

// held is the lock of a data directory.
type held struct {
	f     *os.File
	began time.Time
}

// lock takes the data directory for this process alone. It is free again when
// the lock is closed or the process ends, however it ends.
func lock(dir string) (*held, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
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
	h := &held{f: f, began: time.Now()}
	_ = h.write("") // a full disk does not keep anybody from serving what is on it
	return h, nil
}

// leftTime is how long a lock may outlive its holder: a process that it was just
// starting has it, too, until that is executed or notices.
const leftTime = 5 * time.Second

// takeLock locks f. It waits for nobody who lives.
func takeLock(f *os.File) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(leftTime); ; <-tick.C {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
		if !errors.Is(err, unix.EWOULDBLOCK) || holderOf(f).lives() || time.Now().After(deadline) {
			return err
		}
	}
}

// lives reports whether there is a process of the holder's id, as far as can be told.
func (h holder) lives() bool {
	pid, err := strconv.Atoi(h.pid)
	return err == nil && pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// write replaces what the lock says.
func (h *held) write(text string) error {
	text = fmt.Sprintf("%d\n%d\n%s\n", os.Getpid(), h.began.UnixNano(), strings.ReplaceAll(text, "\n", " "))
	if err := h.f.Truncate(0); err != nil {
		return err
	}
	_, err := h.f.WriteAt([]byte(text), 0)
	return err
}

// say tells those who wait why something was not done. That they wait longer
// where that fails is all there is to it.
func (h *held) say(text string) {
	_ = h.write(fmt.Sprintf("%s: %s", time.Now().Format(time.RFC3339Nano), text))
}

// Close frees the data directory, also where a process that is just being started
// still has the descriptor.
func (h *held) Close() error {
	return errors.Join(unix.Flock(int(h.f.Fd()), unix.LOCK_UN), h.f.Close()) //nolint:gosec // a descriptor fits an int
}

// holder is what a lock says.
type holder struct{ pid, began, said string }

func holderOf(f *os.File) holder {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096)) // an empty answer only makes the message poorer
	lines := append(strings.Split(string(text), "\n"), "", "", "")
	return holder{lines[0], lines[1], lines[2]}
}

// String is the process id.
func (h holder) String() string { return cmp.Or(h.pid, "unknown") }

// Reload has the platform on a data directory reload, and returns once its
// successor has that, or the platform says why it was not reloaded. It does not
// wait longer than ctx.
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
		return fmt.Errorf("%s does not say a process id: %q", f.Name(), before.pid)
	}
	if err := unix.Kill(pid, unix.SIGHUP); errors.Is(err, unix.EPERM) {
		return errNotYours.With("process %d belongs to another user", pid)
	} else if err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return awaitSuccessor(ctx, f, pid, before)
}

// awaitSuccessor waits until a lock says that it was taken anew.
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
		case now.began == "": // being written
		case now.began != before.began:
			return nil
		case now.said != before.said:
			return errNotReloaded.With("the platform goes on as it was: %s", now.said)
		case errors.Is(unix.Kill(pid, 0), unix.ESRCH):
			return errNotReloaded.With("the platform has ended").WithHint("its log says why")
		}
	}
}

// free reports whether nobody has a lock.
func free(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
	if err == nil {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) //nolint:gosec // as above; closing does it too
	}
	return err == nil
}
