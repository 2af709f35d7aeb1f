package codecache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache/codecachetest"
)

func newStore(t *testing.T, dir string, limit int64, build string) *Store {
	t.Helper()
	a, err := Open(dir, limit, build)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustPut(t *testing.T, a *Store, key lateen.FunctionKey, files ...string) {
	t.Helper()
	if err := a.Put(key, "abc", bytes.NewReader(codecachetest.Packed(t, files...)), Max); err != nil {
		t.Fatal(err)
	}
}

func TestCodeCachesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	a := newStore(t, dir, 0, "agent-1")
	key := lateen.NewFunctionKey("dpl_1", "index")
	mustPut(t, a, key, "scripts", "code", "imports/v24-x/1", "more")
	for name, a := range map[string]*Store{"at once": a, "in the next run": newStore(t, dir, 0, "agent-1")} {
		found := a.Find(key, "abc")
		if found == nil || !found.Scripts || !found.Imports {
			t.Fatalf("%s: %+v", name, found)
		}
		if text, err := os.ReadFile(filepath.Join(found.Dir, "imports", "v24-x", "1")); err != nil || string(text) != "more" {
			t.Errorf("%s: it has %q, %v", name, text, err)
		}
		if a.Find(key, "abd") != nil || a.Find(lateen.NewFunctionKey("dpl_2", "index"), "abc") != nil {
			t.Errorf("%s: another function finds it", name)
		}
	}
	if other := newStore(t, dir, 0, "agent-2"); other.Find(key, "abc") != nil {
		t.Error("another build of the agent finds it")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(left) > 0 {
		t.Errorf("%q remains of an unreadable code cache", left)
	}
}

func TestDirectoriesOfKilledProcessesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	a := newStore(t, dir, 0, "agent-1")
	kept, gone := lateen.NewFunctionKey("dpl_1", "index"), lateen.NewFunctionKey("dpl_2", "index")
	mustPut(t, a, kept, "scripts", "code")
	mustPut(t, a, gone, "scripts", "code")
	for _, left := range []string{".work-123/imports/v24-x", ".work-456"} { // of processes that were unpacking
		if err := os.MkdirAll(filepath.Join(dir, left), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a = newStore(t, dir, 0, "agent-1")
	a.Forget("dpl_2")
	if a.Find(kept, "abc") == nil {
		t.Error("a code cache was removed")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "dpl_1" {
		t.Errorf("the directory has %v, %v; want dpl_1 alone", entries, err)
	}
}

func TestCodeCachesStayWithinTheLimit(t *testing.T) {
	a := newStore(t, t.TempDir(), 5*blockSize, "agent-1") // one code cache takes a directory and a file with its content
	key := func(n int) lateen.FunctionKey {
		return lateen.NewFunctionKey("dpl_1", fmt.Sprint(n))
	}
	for n := range 3 {
		mustPut(t, a, key(n), "scripts", strings.Repeat("x", 40))
		a.entries[must(a.name(key(n), "abc"))].used = time.Unix(int64(n), 0)
		if n == 1 {
			a.Find(key(0), "abc") // makes it the most recently used
		}
	}
	if a.Find(key(0), "abc") == nil || a.Find(key(1), "abc") != nil || a.Find(key(2), "abc") == nil {
		t.Errorf("%d bytes are stored: %v", a.size, a.entries)
	}
	a.Forget("dpl_1")
	if a.size != 0 || len(a.entries) != 0 {
		t.Errorf("%d bytes of a removed deployment remain", a.size)
	}
	if a.Has("../run") || a.Has("dpl_1") {
		t.Error("an invalid key has a code cache")
	}
}

func must(name string, _ bool) string { return name }

func TestHostileCodeCachesAreRefused(t *testing.T) {
	key := lateen.NewFunctionKey("dpl_1", "index")
	raw := func(index string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(index))), index...)
	}
	dir := t.TempDir()
	a := newStore(t, filepath.Join(dir, "archives"), 0, "agent-1")
	for name, sent := range map[string][]byte{
		"climbing":              codecachetest.Packed(t, "../../out", "x"),
		"absolute":              codecachetest.Packed(t, "/tmp/out", "x"),
		"twice":                 codecachetest.Packed(t, "scripts", "x", "scripts", "y"),
		"below a file":          codecachetest.Packed(t, "scripts", "x", "scripts/y", "y"),
		"cut short":             codecachetest.Packed(t, "scripts", "xyz")[:20],
		"empty":                 nil,
		"long index":            binary.LittleEndian.AppendUint32(nil, 1<<31),
		"not JSON":              raw("hello"),
		"numbers":               raw("[[1,2]]"),
		"negative":              raw(`[["scripts",-1]]`),
		"larger than it may be": raw(`[["scripts",1e12]]`),
		"deep":                  codecachetest.Packed(t, strings.Repeat("d/", 20)+"x", ""),
		"of many directories":   codecachetest.Packed(t, directories(100)...),
	} {
		if err := a.Put(key, "abc", bytes.NewReader(sent), Max); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
	for _, tag := range []string{"", "../x", "a/b", ".."} {
		if err := a.Put(key, tag, bytes.NewReader(codecachetest.Packed(t, "scripts", "x")), Max); err == nil {
			t.Errorf("the tag %q was accepted", tag)
		}
	}
	if err := a.Put("../../dpl", "abc", bytes.NewReader(codecachetest.Packed(t, "scripts", "x")), Max); err == nil {
		t.Error("a key with .. was accepted")
	}
	if a.Find(key, "abc") != nil {
		t.Error("there is a code cache")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is outside the store", left)
	}
}

// directories returns names and contents of files, each in a directory of its own.
func directories(n int) []string {
	var files []string
	for n := range n {
		files = append(files, fmt.Sprintf("imports/%d/x", n), "")
	}
	return files
}

func FuzzUnpack(f *testing.F) {
	f.Add(codecachetest.Packed(f, "scripts", "code", "imports/a/b", "more"))
	f.Add(codecachetest.Packed(f, "../x", "code"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		dir := t.TempDir()
		_ = unpack(filepath.Join(dir, "in"), bytes.NewReader(sent))
		if left, _ := os.ReadDir(dir); len(left) > 1 || len(left) == 1 && left[0].Name() != "in" {
			t.Errorf("%v was written outside", left)
		}
	})
}
