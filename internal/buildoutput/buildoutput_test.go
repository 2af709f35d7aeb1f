package buildoutput_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

var update = flag.Bool("update", false, "update the golden files")

// source creates an upload from texts by path. "path -> target" is a link, "path*"
// an executable.
func source(files map[string]string) buildoutput.Source {
	src := buildoutput.Source{Files: make(map[string]buildoutput.File)}
	contents := make(map[lateen.Digest]string)
	src.Open = func(b lateen.Blob) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(contents[b.Digest])), nil
	}
	for name, text := range files {
		if link, target, ok := strings.Cut(name, " -> "); ok {
			src.Files[link] = buildoutput.File{Link: target, Mode: 0o777}
			continue
		}
		f := buildoutput.File{Blob: lateen.Blob{Digest: lateen.DigestOf([]byte(text)), Size: int64(len(text))}, Mode: 0o644}
		if exec, ok := strings.CutSuffix(name, "*"); ok {
			name, f.Mode = exec, 0o755
		}
		src.Files[name] = f
		contents[f.Digest] = text
	}
	return src
}

// scenario is a text archive: a comment, then files that begin with "-- name --".
// They are an upload, options (lines "root:" and "target:" of the comment) and, in
// want/, the expected result.
type scenario struct {
	buildoutput.Options

	text  string // text before want/
	files map[string]string
	want  map[string]string
}

func parseScenario(text string) scenario {
	s := scenario{files: make(map[string]string), want: make(map[string]string)}
	var file string
	for line := range strings.Lines(text) {
		if header, ok := strings.CutPrefix(line, "-- "); ok {
			file = strings.TrimSuffix(header, " --\n")
			if strings.HasPrefix(file, "want/") {
				s.want[file] = ""
			} else {
				s.files[file] = ""
			}
		} else if strings.HasPrefix(file, "want/") {
			s.want[file] += line
		} else if file != "" {
			s.files[file] += line
		} else if root, ok := strings.CutPrefix(line, "root:"); ok {
			s.Root = strings.TrimSpace(root)
		} else if target, ok := strings.CutPrefix(line, "target:"); ok {
			s.Target = lateen.Environment(strings.TrimSpace(target))
		}
		if len(s.want) == 0 {
			s.text += line
		}
	}
	return s
}

func TestReadConvertsAnOutputToAManifest(t *testing.T) {
	names, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := parseScenario(string(b))
			out, err := buildoutput.Read(source(s.files), s.Options)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(t, out)
			if *update {
				s.want = got
				for _, part := range slices.Sorted(maps.Keys(got)) {
					s.text += "-- " + part + " --\n" + got[part]
				}
				if err := os.WriteFile(name, []byte(s.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// describe formats an output for a review. Digests are cut to a distinctive length.
func describe(t *testing.T, out *buildoutput.Output) map[string]string {
	t.Helper()
	manifest, err := json.MarshalIndent(out.Manifest, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var trees strings.Builder
	for _, name := range slices.Sorted(maps.Keys(out.Manifest.Functions)) {
		fn := out.Manifest.Functions[name]
		tree, ok := out.Trees[fn.Tree]
		if !ok {
			t.Errorf("%s has no tree", name)
			continue
		}
		if b, _ := json.Marshal(tree); lateen.DigestOf(b) != fn.Tree {
			t.Errorf("the digest of the tree of %s is wrong", name)
		}
		fmt.Fprintln(&trees, name)
		for _, e := range tree.Entries {
			fmt.Fprint(&trees, "  ", e.Path)
			switch {
			case e.Link != "":
				fmt.Fprint(&trees, " -> ", e.Link)
			case e.Exec:
				fmt.Fprint(&trees, "*")
			}
			fmt.Fprintln(&trees)
		}
		manifest = bytes.ReplaceAll(manifest, []byte(fn.Tree), []byte(fn.Tree[:8]))
	}
	for _, f := range out.Manifest.Files {
		manifest = bytes.ReplaceAll(manifest, []byte(f.Digest), []byte(f.Digest[:8]))
	}
	for _, p := range out.Manifest.Prerenders {
		if p.Fallback != nil {
			manifest = bytes.ReplaceAll(manifest, []byte(p.Fallback.Digest), []byte(p.Fallback.Digest[:8]))
		}
	}
	return map[string]string{
		"want/manifest.json": string(manifest) + "\n",
		"want/notices.txt":   strings.Join(append(out.Notices, ""), "\n"),
		"want/trees.txt":     trees.String(),
	}
}
