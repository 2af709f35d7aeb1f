package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// fullDisk copies a data directory to a small disk and fills the disk up.
func fullDisk(t *testing.T, data string) (moved string) {
	t.Helper()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=24m,mode=0755"); err != nil {
		t.Skipf("this user may not mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	moved = filepath.Join(disk, "data")
	copyTree(t, data, moved)
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return moved
}

// A full disk must not keep a killed platform from its next start: all sites would
// be down until an operator frees space.
func TestAPlatformThatWasKilledStartsAndServesOnAFullDisk(t *testing.T) {
	c := settings(t)
	d, _ := start(t, c)
	host := ""
	for n := range 5 {
		host = publish(t, d, "page "+strconv.Itoa(n))
	}
	full := *c
	full.Data = fullDisk(t, c.Data) // the state that a kill of the daemon leaves
	d, _ = start(t, &full)
	if got := pageOf(t, d, host); got != "OK page 4" {
		t.Errorf("the page is %q", got)
	}
}
