package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

func TestWriteReplacesTheWholeContentAndSetsTheMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	for _, text := range []string{"a longer first content", "second"} {
		if err := atomicfile.Write(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != text {
			t.Fatalf("content %q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	wantNames(t, filepath.Dir(name), "token")
}

func TestWriteLeavesTheOldContentWhenItFails(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "occupied")
	if err := os.MkdirAll(filepath.Join(occupied, "by a directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(occupied, []byte("x"), 0o600); err == nil {
		t.Fatal("a file took the place of a directory")
	}
	wantNames(t, dir, "occupied")
	if err := atomicfile.Write(filepath.Join(dir, "missing", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
}

func TestDiscardRemovesTheTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	f, err := atomicfile.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	wantNames(t, dir)
	if err := f.Commit(filepath.Join(dir, "late"), 0o600); err == nil {
		t.Error("a discarded file was committed")
	}
	wantNames(t, dir)
}

func TestDiscardAfterCommitKeepsTheFile(t *testing.T) {
	dir := t.TempDir()
	f, err := atomicfile.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(filepath.Join(dir, "kept"), 0o444); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	wantNames(t, dir, "kept")
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}
