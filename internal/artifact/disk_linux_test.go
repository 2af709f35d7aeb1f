package artifact_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestContentThatCannotBeRefreshedStays: a full disk, or a file of another user,
// refuses a change of times but permits the removal of the name.
func TestContentThatCannotBeRefreshedStays(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user's files take root to make")
	}
	dir := t.TempDir()
	d := openDisk(t, dir)
	blob, err := d.Put(t.Context(), strings.NewReader("content"), "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, string(blob.Digest[:2]), string(blob.Digest))
	for at := filepath.Dir(file); at != os.TempDir(); at = filepath.Dir(at) { // so that the other user can remove names
		if err := os.Chmod(at, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	_, err = d.Put(t.Context(), strings.NewReader("content"), blob.Digest)
	if err := unix.Setfsuid(0); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Error("the put returned no error")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("content that deployments may name: %v", err)
	}
}
