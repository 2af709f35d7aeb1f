package meter_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/meter"
)

// The disk of the database fills up, and space is freed an hour later.
func TestAFullDiskLosesNoUsage(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m,mode=0755"); err != nil {
		t.Skipf("this user may not mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(disk, "db"), meter.Options{})
		f.AddUsage(sampleOf("/a", time.Now()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		ballast := filepath.Join(disk, "ballast")
		fill(t, ballast)
		const samples = 70
		for range samples {
			f.AddUsage(sampleOf("/a", time.Now()))
			time.Sleep(50 * time.Second)
		}
		if stats := f.Stats(); stats.Failures == 0 || stats.Pending == 0 {
			t.Fatalf("the disk is not full: %+v", stats)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, sum := f.stored(); sum != times(samples+1, sampleOf("", time.Now()).Usage) {
			t.Errorf("%+v is stored", sum)
		}
	})
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
