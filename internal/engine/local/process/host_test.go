package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// The path of a Unix socket has at most 107 bytes (unix(7)).
func TestSocketsWorkInDirectoriesWithLongNames(t *testing.T) {
	h := &Host{Options: Options{Dir: filepath.Join(enginetest.Reachable(t), strings.Repeat("long/", 40), "run")}}
	if err := errors.Join(os.MkdirAll(h.Dir, 0o711), h.OpenSockets()); err != nil {
		t.Fatal(err)
	}
	file, err := h.listen("socket")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	conn, err := h.dial(t.Context(), "socket")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if h.clean("socket", ""); !missing(filepath.Join(h.Sockets.Name(), "socket")) {
		t.Error("clean does not remove the socket")
	}
}

// missing reports whether no file has the path.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
