//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lockedAs locks a data directory in the name of the process pid, and returns a
// function that releases the lock.
func lockedAs(t *testing.T, dir string, pid int) (free func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := fmt.Fprintf(f, "%d\n1\n\n", pid); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

func TestALockThatOutlivesItsHolderIsWaitedFor(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	time.AfterFunc(50*time.Millisecond, lockedAs(t, dir, ended.Process.Pid)) // as a child process that was being started does
	h, err := lock(dir, lockName)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestALockOfALivingHolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	defer lockedAs(t, dir, os.Getpid())()
	if h, err := lock(dir, lockName); !errors.Is(err, errDataInUse) {
		t.Errorf("the lock is %v, %v", h, err)
	}
}

func TestALockIsFreeOnceItsHolderClosesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := lock(dir, lockName)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.FcntlInt(h.f.Fd(), unix.F_DUPFD_CLOEXEC, 0) // as a child process has it until it executes its program
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lock(dir, lockName)
	if err != nil {
		t.Fatalf("this process, which freed the directory, is refused: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
