//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen/test/link"
)

// project copies the build output of an example, or of an application of the tests
// themselves, and everything else that it refers to, into a directory called name, as if it had been built there for a
// target. The copy can be linked and deployed without touching the example.
func project(t *testing.T, example, name, target string) string {
	t.Helper()
	src := built(t, example)
	dst := filepath.Join(t.TempDir(), name)
	err := errors.Join(link.Output(src, dst), builtFor(dst, target))
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

// built is the folder of an example, or of an application of the tests themselves, with
// its build output.
func built(t *testing.T, example string) string {
	t.Helper()
	src := filepath.Join(root(t), "examples", example)
	if *elsewhere != "" {
		src = filepath.Join(*elsewhere, example)
	} else if _, err := os.Stat(src); err != nil {
		src = filepath.Join(root(t), "test", "e2e", "testdata", "apps", example)
	}
	if _, err := os.Stat(filepath.Join(src, ".vercel", "output", "config.json")); err != nil {
		t.Fatalf("the example %s is not built: run scripts/examples.sh %s", example, src)
	}
	return src
}

// builtFor says in the output of dir that it was built for a target. Only the
// vercel CLI cares; frameworks that write their output themselves leave no such
// note.
func builtFor(dir, target string) error {
	name := filepath.Join(dir, ".vercel", "output", "builds.json")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, other := range []string{"preview", "production"} {
		text = bytes.Replace(text, []byte(`"target": "`+other+`"`), []byte(`"target": "`+target+`"`), 1)
	}
	if err := os.Remove(name); err != nil { // it is the example's own file
		return err
	}
	return os.WriteFile(name, text, 0o600)
}

// output writes a build output by hand: files by path below .vercel/output.
func output(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	base := filepath.Join(dir, ".vercel", "output")
	if err := os.RemoveAll(base); err != nil {
		t.Fatal(err)
	}
	if _, ok := files["config.json"]; !ok {
		write(t, filepath.Join(base, "config.json"), `{"version":3}`)
	}
	for name, text := range files {
		write(t, filepath.Join(base, filepath.FromSlash(name)), text)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
