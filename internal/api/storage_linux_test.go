package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// smallDisk puts the files of the test on a disk of a few MiB. It returns a function
// that fills the disk, and one that frees space.
func smallDisk(t *testing.T) (fill, free func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "small") //nolint:usetesting // parent of the directories of TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0755"); err != nil {
		t.Skipf("this user may not mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", dir)
	ballast := filepath.Join(dir, "ballast")
	fill = func() {
		t.Helper()
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	free = func() {
		t.Helper()
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	return fill, free
}

// Each operation that fails for lack of space returns an error with a hint, not an
// internal error.
func TestAFullDiskIsReportedAndRecoverable(t *testing.T) {
	fill, free := smallDisk(t)
	w := newWorld(t)
	fill()
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // of hello
	if got := w.upload(t, sha, "5", "hello"); got != http.StatusInsufficientStorage {
		t.Errorf("on a full disk, an upload gets the status %d", got)
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(os.TempDir(), "another.db")); !errors.Is(err, lateen.ErrStorageFull) {
		t.Errorf("a database is opened with %v", err)
	}
	deploy := `{"name":"shop","files":[{"file":".vercel/output/config.json","data":"{\"version\":3}"},{"file":".vercel/output/static/new.txt","data":"new"}]}`
	for what, call := range map[string]struct{ method, path, body string }{
		"a deployment": {http.MethodPost, "/v13/deployments?prebuilt=1", deploy},
		"settings":     {http.MethodPatch, "/v9/projects/shop", `{"framework":"%d` + strings.Repeat("x", 60) + `"}`},
		"a variable":   {http.MethodPost, "/v10/projects/shop/env", `{"key":"K%d","type":"plain","target":["preview"],"value":"` + strings.Repeat("x", 30<<10) + `"}`},
	} {
		status, body := 0, []byte(nil)
		for n := 0; n < 300 && status < 300; n++ { // the database has free pages of its own
			text := call.body
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, n)
			}
			status, body = w.ask(t, "owner", call.method, call.path, text)
		}
		if status != http.StatusInsufficientStorage || !bytes.Contains(body, []byte(`"code":"insufficient_storage"`)) || !bytes.Contains(body, []byte(`"hint":"free space`)) {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	if status, body := w.ask(t, "owner", http.MethodGet, "/v9/projects/shop", ""); status != http.StatusOK {
		t.Errorf("reading: %d %s", status, body)
	}
	free()
	if got := w.upload(t, sha, "5", "hello"); got != http.StatusOK {
		t.Errorf("with free space, an upload gets the status %d", got)
	}
	if status, body := w.ask(t, "owner", http.MethodPost, "/v13/deployments?prebuilt=1", deploy); status != http.StatusOK {
		t.Errorf("with free space, a deployment: %d %s", status, body)
	}
}
