package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// plain hides the link method of a store, like a store in a bucket.
type plain struct{ artifact.Store }

func putFile(t testing.TB, s artifact.Store, path, content string) lateen.TreeEntry {
	t.Helper()
	blob, err := s.Put(t.Context(), strings.NewReader(content), "")
	if err != nil {
		t.Fatal(err)
	}
	return lateen.TreeEntry{Path: path, Digest: blob.Digest, Size: blob.Size}
}

func putTree(t testing.TB, s artifact.Store, entries ...lateen.TreeEntry) lateen.Digest {
	t.Helper()
	digest, err := artifact.WriteJSON(t.Context(), s, &lateen.Tree{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// sample is a tree with every kind of entry.
func sample(t testing.TB, s artifact.Store) lateen.Digest {
	run := putFile(t, s, "bin/run", "#!/bin/sh\n")
	run.Exec = true
	return putTree(t, s,
		run,
		putFile(t, s, "index.js", "module.exports = 1"),
		putFile(t, s, "node_modules/a/[id]/index.js", "a"),
		lateen.TreeEntry{Path: "node_modules/b", Link: "a/../a"},
		lateen.TreeEntry{Path: "start", Link: "bin/run"},
	)
}

// describe lists the content of dir: mode, path and content or target.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		path, _ := filepath.Rel(dir, name)
		line := fmt.Sprint(info.Mode(), " ", path)
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += " " + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(name)
			line += " " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestTreesLayOutFilesExecutablesAndLinks(t *testing.T) {
	want := []string{
		"drwxr-xr-x .",
		"drwxr-xr-x bin",
		"-r-xr-xr-x bin/run #!/bin/sh\n",
		"-r--r--r-- index.js module.exports = 1",
		"drwxr-xr-x node_modules",
		"drwxr-xr-x node_modules/a",
		"drwxr-xr-x node_modules/a/[id]",
		"-r--r--r-- node_modules/a/[id]/index.js a",
		"Lrwxrwxrwx node_modules/b a/../a",
		"Lrwxrwxrwx start bin/run",
	}
	disk := openDisk(t, t.TempDir())
	for name, s := range map[string]artifact.Store{"by hard link": disk, "by copy": plain{disk}} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			digest := sample(t, s)
			dir, err := artifact.NewTrees(root, s).Dir(t.Context(), digest)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, describe(t, dir)); diff != "" {
				t.Error(diff)
			}
			if again, err := artifact.NewTrees(root, s).Dir(t.Context(), digest); err != nil || again != dir {
				t.Errorf("the second time: %s, %v", again, err)
			}
			wantEntries(t, root, string(digest))
		})
	}
}

func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Error(diff)
	}
}

func TestTreesShareContentButNotWithExecutables(t *testing.T) {
	s := openDisk(t, t.TempDir())
	trees := artifact.NewTrees(t.TempDir(), s)
	file := putFile(t, s, "file", "same content")
	exec := file
	exec.Path, exec.Exec = "exec", true
	dir, err := trees.Dir(t.Context(), putTree(t, s, exec, file))
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), file.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kept, err := f.(*os.File).Stat()
	if err != nil {
		t.Fatal(err)
	}
	for name, shared := range map[string]bool{"file": true, "exec": false} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || os.SameFile(info, kept) != shared {
			t.Errorf("%s shares its content with the store: %v, want %v", name, !shared, shared)
		}
	}
}

func TestTreesLayOutOnceForAll(t *testing.T) {
	s := openDisk(t, t.TempDir())
	trees := artifact.NewTrees(t.TempDir(), s)
	digest := sample(t, s)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			dir, err := trees.Dir(t.Context(), digest)
			if err != nil {
				t.Errorf("dir: %v", err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "start")); err != nil {
				t.Errorf("the tree is not whole: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestTreesRefuseHostileEntries(t *testing.T) {
	s := openDisk(t, t.TempDir())
	file := func(path string) lateen.TreeEntry { return putFile(t, s, path, "x") }
	link := func(path, target string) lateen.TreeEntry { return lateen.TreeEntry{Path: path, Link: target} }
	for name, entries := range map[string][]lateen.TreeEntry{
		"absolute path":              {file("/etc/passwd")},
		"path that climbs":           {file("../x")},
		"path that climbs within":    {file("a/../../x")},
		"path that is not clean":     {file("a//b")},
		"path of the tree itself":    {file(".")},
		"empty path":                 {file("")},
		"path with a NUL":            {file("a\x00b")},
		"path twice":                 {file("a"), file("a")},
		"file under a file":          {file("a"), file("a/b")},
		"file under a link":          {link("a", "b"), file("a/c"), file("b/d")},
		"file above a file":          {file("a/b/c"), file("a")},
		"absolute link":              {link("a", "/etc/passwd")},
		"link that climbs":           {link("a/b", "../../x")},
		"link through a link":        {link("up/a", ".."), link("b", "up/a/../x")},
		"link through a missing dir": {link("a", "missing/../../x")},
		"link to itself":             {link("a", "a")},
		"links in a circle":          {link("a", "b/x"), link("b", "a/x")},
		"link with content":          {{Path: "a", Link: "b", Digest: lateen.DigestOf(nil)}},
		"file without content":       {{Path: "a"}},
		"file of a hostile digest":   {{Path: "a", Digest: "../../secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			_, err := artifact.NewTrees(root, s).Dir(t.Context(), putTree(t, s, entries...))
			if !errors.Is(err, lateen.ErrTreeInvalid) {
				t.Errorf("error %v, want ErrTreeInvalid", err)
			}
			wantEntries(t, root)
		})
	}
}

func TestTreesLeaveNothingWhenAFileIsMissing(t *testing.T) {
	s := openDisk(t, t.TempDir())
	root := t.TempDir()
	digest := putTree(t, s, putFile(t, s, "a/there", "x"), lateen.TreeEntry{Path: "b/missing", Digest: lateen.DigestOf([]byte("missing"))})
	for name, store := range map[string]artifact.Store{"by hard link": s, "by copy": plain{s}} {
		if _, err := artifact.NewTrees(root, store).Dir(t.Context(), digest); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
		}
	}
	wantEntries(t, root)
	for _, absent := range []lateen.Digest{"", "../x", lateen.DigestOf([]byte("no tree"))} {
		if _, err := artifact.NewTrees(root, s).Dir(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v, want fs.ErrNotExist", absent, err)
		}
	}
}

func TestTreesEndWithTheContext(t *testing.T) {
	s := openDisk(t, t.TempDir())
	root := t.TempDir()
	digest := sample(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := artifact.NewTrees(root, s).Dir(ctx, digest); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wantEntries(t, root)
}

// gated is a store that blocks Open until the gate is opened.
type gated struct {
	artifact.Store

	gate chan struct{}
}

func (g gated) Open(ctx context.Context, d lateen.Digest) (io.ReadSeekCloser, error) {
	<-g.gate
	return g.Store.Open(ctx, d)
}

func TestTreesContinueWhenTheFirstCallerIsCanceled(t *testing.T) {
	s := openDisk(t, t.TempDir())
	root, digest := t.TempDir(), sample(t, s)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		trees := artifact.NewTrees(root, gated{s, gate})
		first, giveUp := context.WithCancelCause(t.Context())
		bored := errors.New("bored")
		var asked sync.WaitGroup
		asked.Go(func() {
			if _, err := trees.Dir(first, digest); !errors.Is(err, bored) {
				t.Errorf("the first got %v, want the cause of its end", err)
			}
		})
		synctest.Wait()
		for range 3 {
			asked.Go(func() {
				if _, err := trees.Dir(t.Context(), digest); err != nil {
					t.Errorf("another got %v", err)
				}
			})
		}
		synctest.Wait()
		giveUp(bored)
		close(gate)
		asked.Wait()
	})
}

func TestTreesSweepUnreferencedTrees(t *testing.T) {
	s := openDisk(t, t.TempDir())
	root := t.TempDir()
	trees := artifact.NewTrees(root, s)
	wanted, unwanted := sample(t, s), putTree(t, s, putFile(t, s, "deep/er/file", "x"))
	for _, digest := range []lateen.Digest{wanted, unwanted} {
		if _, err := trees.Dir(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	crashed := filepath.Join(root, string(unwanted)+".tmp-1")
	if err := os.MkdirAll(filepath.Join(crashed, "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	keep := func(d lateen.Digest) bool { return d == wanted }
	if swept, err := trees.Sweep(t.Context(), keep, time.Now().Add(-time.Hour)); err != nil || swept.Files != 0 {
		t.Errorf("sweep of the old: %v, %v; want nothing: another process may be laying out the young one", swept, err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(crashed, old, old); err != nil {
		t.Fatal(err)
	}
	if swept, err := trees.Sweep(t.Context(), keep, time.Now().Add(-time.Hour)); err != nil || swept.Files != 1 {
		t.Errorf("sweep of the old: %v, %v; want the leftover alone", swept, err)
	}
	if swept, err := trees.Sweep(t.Context(), keep, time.Now().Add(time.Hour)); err != nil || swept.Files != 1 {
		t.Errorf("sweep: %v, %v; want one tree", swept, err)
	}
	wantEntries(t, root, string(wanted))
	if _, err := trees.Dir(t.Context(), unwanted); err != nil {
		t.Errorf("a swept tree is not laid out again: %v", err)
	}
	if swept, err := artifact.NewTrees(filepath.Join(root, "missing"), s).Sweep(t.Context(), keep, time.Now()); err != nil || swept.Files != 0 {
		t.Errorf("sweep of a missing directory: %v, %v", swept, err)
	}
}

// Processes with different roles lay out trees in the same directory.
func TestTreesOfSeveralProcessesShareADirectory(t *testing.T) {
	s := openDisk(t, t.TempDir())
	root, digest := t.TempDir(), sample(t, s)
	var all sync.WaitGroup
	for range 8 { // each with a lock of its own, like processes
		trees := artifact.NewTrees(root, s)
		all.Go(func() {
			if _, err := trees.Dir(t.Context(), digest); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantEntries(t, root, string(digest))
}

func BenchmarkTreesDir(b *testing.B) {
	s := openDisk(b, b.TempDir())
	var entries []lateen.TreeEntry
	for i := range 250 {
		entries = append(entries, putFile(b, s, fmt.Sprintf("node_modules/p%02d/f%d.js", i%50, i), fmt.Sprint("content ", i)))
	}
	digest := putTree(b, s, entries...)
	b.Run("laid out", func(b *testing.B) {
		trees := artifact.NewTrees(b.TempDir(), s)
		for b.Loop() {
			if _, err := trees.Dir(b.Context(), digest); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("250 files", func(b *testing.B) {
		trees := artifact.NewTrees(b.TempDir(), s)
		for b.Loop() {
			if _, err := trees.Dir(b.Context(), digest); err != nil {
				b.Fatal(err)
			}
			if _, err := trees.Sweep(b.Context(), func(lateen.Digest) bool { return false }, time.Now().Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
