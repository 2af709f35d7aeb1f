package buildoutput_test

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

// uploadOf reads the files that a client sends of the project in dir: the output and
// the files that functions take from other directories.
func uploadOf(t testing.TB, dir string) buildoutput.Source {
	t.Helper()
	src := buildoutput.Source{Files: make(map[string]buildoutput.File)}
	from := make(map[lateen.Digest]string)
	src.Open = func(b lateen.Blob) (io.ReadCloser, error) { return os.Open(from[b.Digest]) }
	add := func(rel string) {
		name := filepath.Join(dir, rel)
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		f := buildoutput.File{Mode: uint32(info.Mode().Perm())}
		if info.Mode()&fs.ModeSymlink != 0 {
			f.Link, err = os.Readlink(name)
		} else {
			var b []byte
			b, err = os.ReadFile(name)
			f.Blob = lateen.Blob{Digest: lateen.DigestOf(b), Size: int64(len(b))}
			from[f.Digest] = name
		}
		if err != nil {
			t.Fatal(err)
		}
		src.Files[rel] = f
	}
	err := filepath.WalkDir(filepath.Join(dir, ".vercel/output"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		add(rel)
		if d.Name() != ".vc-config.json" {
			return nil
		}
		var config struct {
			FilePathMap map[string]string `json:"filePathMap"`
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &config); err != nil {
			return err
		}
		for _, mapped := range config.FilePathMap {
			add(mapped)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// TestReadAcceptsTheOutputsOfFrameworks reads the outputs of all built examples.
func TestReadAcceptsTheOutputsOfFrameworks(t *testing.T) {
	configs, err := filepath.Glob("../../examples/*/.vercel/output/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(configs) == 0 {
		t.Skip("no example is built: scripts/examples.sh builds them")
	}
	for _, config := range configs {
		dir := strings.TrimSuffix(config, "/.vercel/output/config.json")
		t.Run(filepath.Base(dir), func(t *testing.T) {
			out, err := buildoutput.Read(uploadOf(t, dir), buildoutput.Options{Target: ""})
			if err != nil {
				t.Fatal(err)
			}
			m := out.Manifest
			t.Logf("%d routes, %d files, %d functions, %d outputs, %d prerenders, %d trees, notices %q",
				len(m.Routes), len(m.Files), len(m.Functions), len(m.Outputs), len(m.Prerenders), len(out.Trees), out.Notices)
			if len(m.Routes) == 0 || len(m.Files) == 0 {
				t.Errorf("the manifest has %d routes and %d files", len(m.Routes), len(m.Files))
			}
			for path, name := range m.Outputs {
				fn, ok := m.Functions[name]
				if !ok || out.Trees[fn.Tree] == nil {
					t.Errorf("output %s has no function with a tree: %q", path, name)
				}
			}
			for path, p := range m.Prerenders {
				if m.Outputs[path] == "" && p.Fallback == nil {
					t.Errorf("prerender %s has neither function nor fallback", path)
				}
			}
		})
	}
}

func BenchmarkReadNextjs(b *testing.B) {
	dir := "../../examples/nextjs"
	if _, err := os.Stat(dir + "/.vercel/output/config.json"); err != nil {
		b.Skip("the example is not built")
	}
	src := uploadOf(b, dir)
	for b.Loop() {
		if _, err := buildoutput.Read(src, buildoutput.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
