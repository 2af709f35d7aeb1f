package wasi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

func TestTheModulesCompiledFirstMakeRoom(t *testing.T) {
	dir := t.TempDir()
	e, err := New(t.Context(), Options{Dir: dir, Logs: &enginetest.Logs{}, Trees: func(context.Context, lateen.Digest) (string, error) { return "", nil }, Disk: 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old/first": 3 * time.Hour, "old/second": 2 * time.Hour, "new/third": time.Hour, "new/last": 0} {
		file := filepath.Join(dir, name)
		then := time.Now().Add(-age)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, make([]byte, 1<<20), 0o600), os.Chtimes(file, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.prune(); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{"old/first": false, "old/second": false, "new/third": true, "new/last": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) == kept {
			t.Errorf("%s: %v", name, err)
		}
	}
}
