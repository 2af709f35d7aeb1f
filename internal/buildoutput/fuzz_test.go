package buildoutput_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

// FuzzRead reads arbitrary uploads in the form of the scenarios: Read must return an
// error of the user or a manifest whose paths stay inside the upload.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(names) == 0 {
		f.Fatalf("no scenarios: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(parseScenario(string(b)).text)
	}
	for _, hostile := range []string{
		"-- .vercel/output/config.json --\n{\"version\":3,\"routes\":[{\"handle\":\"hit\"},{\"src\":\"/\",\"has\":[{\"type\":\"host\",\"value\":{\"eq\":{}}}]}]}\n",
		"-- .vercel/output/config.json --\n{\"version\":3}\n-- .vercel/output/static/a -> ../../.. --\n-- .vercel/output/functions/a.func -> . --\n",
		"-- .vercel/output/config.json -> ../../x --\n-- x --\n{\"version\":3}\n-- ../x --\n",
		"-- .vercel/output/config.json --\n{\"version\":3}\n-- .vercel/output/functions/a.func/.vc-config.json --\n{\"runtime\":\"edge\",\"entrypoint\":\"a\",\"filePathMap\":{\"a\":\"l/../../x\"}}\n-- l -> . --\n",
	} {
		f.Add(hostile)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := parseScenario(text)
		src := source(s.files)
		out, err := buildoutput.Read(src, s.Options)
		if err != nil {
			if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Code != lateen.Invalid || e.Message == "" {
				t.Fatalf("an internal error: %v", err)
			}
			return
		}
		known := make(map[lateen.Blob]bool)
		for _, file := range src.Files {
			known[file.Blob] = true
		}
		wantPath := func(path string) {
			if !strings.HasPrefix(path, "/") || filepath.Clean(path) != path {
				t.Errorf("%q is not a path of an output", path)
			}
		}
		m := out.Manifest
		for path, file := range m.Files {
			wantPath(path)
			if !known[file.Blob] {
				t.Errorf("file %s is not of the upload", path)
			}
		}
		for path, name := range m.Outputs {
			wantPath(path)
			if _, ok := m.Functions[name]; !ok {
				t.Errorf("output %s has no function %q", path, name)
			}
		}
		for path, p := range m.Prerenders {
			wantPath(path)
			if p.Fallback != nil && !known[p.Fallback.Blob] {
				t.Errorf("the fallback of %s is not of the upload", path)
			}
		}
		for name, fn := range m.Functions {
			tree := out.Trees[fn.Tree]
			if tree == nil {
				t.Fatalf("%s has no tree", name)
			}
			if err := tree.Validate(); err != nil {
				t.Errorf("the tree of %s: %v", name, err)
			}
			for _, e := range tree.Entries {
				if e.Link == "" && !known[lateen.Blob{Digest: e.Digest, Size: e.Size}] {
					t.Errorf("%s of %s is not of the upload", e.Path, name)
				}
			}
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, new(lateen.Manifest)); err != nil {
			t.Errorf("the manifest does not survive JSON: %v", err)
		}
	})
}
