package artifact_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/artifact/artifacttest"
)

func openDisk(t testing.TB, dir string) *artifact.Disk {
	t.Helper()
	d, err := artifact.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDisk(t *testing.T) {
	artifacttest.Run(t, func(t *testing.T) artifact.Store { return openDisk(t, t.TempDir()) })
}

func TestDiskKeepsContentReadOnlyUnderItsDigestAndAcrossProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	blob, err := openDisk(t, dir).Put(t.Context(), strings.NewReader("x"), "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, string(blob.Digest[:2]), string(blob.Digest)))
	if err != nil || info.Mode() != 0o444 {
		t.Errorf("file: %v, %v; want mode 0444", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v; want mode 0700", info.Mode(), err)
	}
	f, err := openDisk(t, dir).Open(t.Context(), blob.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.(*os.File); !ok {
		t.Errorf("content comes as %T, which is not sent without a copy", f)
	}
}

func TestDiskRemovesIncompleteFilesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	openDisk(t, dir)
	left := filepath.Join(dir, "tmp", ".tmp-123")
	if err := os.WriteFile(left, []byte("half an upload"), 0o600); err != nil {
		t.Fatal(err)
	}
	openDisk(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the incomplete file was not removed: %v", err)
	}
}

func TestDiskLeavesNoTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir)
	for _, want := range []lateen.Digest{"", lateen.DigestOf([]byte("x")), lateen.DigestOf([]byte("y"))} {
		_, err := d.Put(t.Context(), strings.NewReader("x"), want)
		if mismatch := want == lateen.DigestOf([]byte("y")); mismatch != (err != nil) {
			t.Errorf("put: %v", err)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestDiskRefusesADirectoryItCannotUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.OpenDisk(file); err == nil {
		t.Error("a file was opened as a store")
	}
}

func TestReadJSONNoticesDamage(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir)
	digest, err := artifact.WriteJSON(t.Context(), d, &lateen.Tree{})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, string(digest[:2]), string(digest))
	if err := errors.Join(os.Remove(name), os.WriteFile(name, []byte(`{"entries":[]}`), 0o400)); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.ReadJSON[lateen.Tree](t.Context(), d, digest); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged artifact: %v", err)
	}
}

func BenchmarkDiskPutNew4KiB(b *testing.B) {
	d := openDisk(b, b.TempDir())
	content := make([]byte, 4<<10)
	for i := range b.N {
		content[0], content[1], content[2], content[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		if _, err := d.Put(b.Context(), strings.NewReader(string(content)), ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiskOpen(b *testing.B) {
	d := openDisk(b, b.TempDir())
	blob, err := d.Put(b.Context(), strings.NewReader("x"), "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := d.Open(b.Context(), blob.Digest)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, f)
		f.Close()
	}
}

// The hint of [lateen.ErrArtifactDamaged] is a new deployment: its uploads replace
// the damaged content, also content of the right size.
func TestPuttingDamagedContentAgainMakesItWhole(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir)
	for _, damage := range []string{"c0ntent", "", "content and more"} {
		blob, err := d.Put(t.Context(), strings.NewReader("content"), "")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(blob.Digest[:2]), string(blob.Digest))
		if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, []byte(damage), 0o600)); err != nil {
			t.Fatal(err)
		}
		if again, err := d.Put(t.Context(), strings.NewReader("content"), ""); err != nil || again != blob {
			t.Errorf("put again: %v, %v", again, err)
		}
		if got, err := artifact.Read(t.Context(), d, blob.Digest); err != nil || string(got) != "content" {
			t.Errorf("damaged to %q, the content is %q, %v", damage, got, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o444 {
			t.Errorf("the mode is %v, %v", info.Mode(), err)
		}
	}
}

// A tree has a hard link to the content, and is not laid out again.
func TestPuttingDamagedContentAgainMakesTreesWhole(t *testing.T) {
	root := t.TempDir()
	d := openDisk(t, filepath.Join(root, "artifacts"))
	trees := artifact.NewTrees(filepath.Join(root, "trees"), d)
	entry := putFile(t, d, "index.js", "content")
	for _, damage := range []string{"c0ntent", "", "content and more"} {
		dir, err := trees.Dir(t.Context(), putTree(t, d, entry))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "index.js")
		if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, []byte(damage), 0o600)); err != nil {
			t.Fatal(err)
		}
		putFile(t, d, "index.js", "content")
		if got, err := os.ReadFile(file); err != nil || string(got) != "content" {
			t.Errorf("damaged to %q, the tree has %q, %v", damage, got, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o444 {
			t.Errorf("the mode in the tree is %v, %v", info.Mode(), err)
		}
		if err := os.RemoveAll(dir); err != nil { // the next tree links to the new file
			t.Fatal(err)
		}
	}
}
