package assemble_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lateen-dev/lateen"
)

// uploadOf stores the files that a client sends of the project in dir.
func (p *platform) uploadOf(dir string) lateen.Source {
	p.t.Helper()
	seen := make(map[string]bool)
	var src lateen.Source
	add := func(rel string) {
		if seen[rel] {
			return
		}
		seen[rel] = true
		name := filepath.Join(dir, rel)
		info, err := os.Lstat(name)
		if err != nil {
			p.t.Fatal(err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			if err != nil {
				p.t.Fatal(err)
			}
			src.Files = append(src.Files, lateen.SourceFile{Path: rel, Link: target})
			return
		}
		src.Files = append(src.Files, lateen.SourceFile{Path: rel, Mode: uint32(info.Mode().Perm())})
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
		p.t.Fatal(err)
	}
	puts, ctx := errgroup.WithContext(p.t.Context())
	puts.SetLimit(16)
	for i := range src.Files {
		file := &src.Files[i]
		if file.Link != "" {
			continue
		}
		puts.Go(func() error {
			f, err := os.Open(filepath.Join(dir, file.Path))
			if err != nil {
				return err
			}
			defer f.Close()
			file.Blob, err = p.store.Put(ctx, f, "")
			return err
		})
	}
	if err := puts.Wait(); err != nil {
		p.t.Fatal(err)
	}
	return src
}

// TestAssembleAcceptsTheOutputsOfFrameworks assembles the outputs of all built examples.
func TestAssembleAcceptsTheOutputsOfFrameworks(t *testing.T) {
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
			p := newPlatform(t)
			src := p.uploadOf(dir)
			first, m := p.mustAssemble(src)
			t.Log(strings.Join(p.lines, "\n"))
			for name, fn := range m.Functions {
				if _, err := os.Stat(filepath.Join(p.dir, "trees", string(fn.Tree), fn.Handler)); err != nil {
					t.Errorf("the handler of %s is not laid out: %v", name, err)
				}
			}
			if second, _ := p.mustAssemble(src); second != first {
				t.Errorf("the same upload has the manifests %s and %s", first, second)
			}
		})
	}
}
