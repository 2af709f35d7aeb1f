package assemble_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/artifact/artifacttest"
	"github.com/lateen-dev/lateen/internal/assemble"
)

// platform is a builder with a real store.
type platform struct {
	*assemble.Builder

	t        testing.TB
	store    artifact.Store
	trees    *artifact.Trees
	dir      string
	messages bytes.Buffer // the builder's own log
	lines    []string     // the build log
}

func newPlatform(t testing.TB, change ...func(*assemble.Options)) *platform {
	t.Helper()
	p := &platform{t: t, dir: t.TempDir()}
	disk, err := artifact.OpenDisk(filepath.Join(p.dir, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	p.store = disk
	p.trees = artifact.NewTrees(filepath.Join(p.dir, "trees"), disk)
	o := assemble.Options{Artifacts: disk, Trees: p.trees, Dir: filepath.Join(p.dir, "variants"), Log: slog.New(slog.NewTextHandler(&p.messages, nil))}
	for _, change := range change {
		change(&o)
	}
	if p.Builder, err = assemble.New(o); err != nil {
		t.Fatal(err)
	}
	return p
}

// keep stores a text and returns it as a file of an upload. "path -> target" is a
// link, "path*" an executable.
func (p *platform) keep(name, text string) lateen.SourceFile {
	p.t.Helper()
	if link, target, ok := strings.Cut(name, " -> "); ok {
		return lateen.SourceFile{Path: link, Link: target}
	}
	blob, err := p.store.Put(p.t.Context(), strings.NewReader(text), "")
	if err != nil {
		p.t.Fatal(err)
	}
	f := lateen.SourceFile{Path: name, Blob: blob}
	if exec, ok := strings.CutSuffix(name, "*"); ok {
		f.Path, f.Mode = exec, 0o755
	}
	return f
}

func (p *platform) upload(files map[string]string) lateen.Source {
	p.t.Helper()
	var src lateen.Source
	for name, text := range files {
		src.Files = append(src.Files, p.keep(name, text))
	}
	return src
}

func (p *platform) assemble(src lateen.Source) (lateen.Digest, *lateen.Manifest, error) {
	p.lines = nil
	return p.Assemble(p.t.Context(), src, func(text string) { p.lines = append(p.lines, text) })
}

func (p *platform) mustAssemble(src lateen.Source) (lateen.Digest, *lateen.Manifest) {
	p.t.Helper()
	digest, m, err := p.assemble(src)
	if err != nil {
		p.t.Fatal(err)
	}
	return digest, m
}

func (p *platform) read(d lateen.Digest) string {
	p.t.Helper()
	f, err := p.store.Open(p.t.Context(), d)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

var page = strings.Repeat("<p>The wind is free, the harbour is not.</p>\n", 100)

// site is an upload with a static page, and a function with two paths.
func site() map[string]string {
	return map[string]string{
		".vercel/output/config.json":                           `{"version":3,"routes":[{"src":"/old","status":308,"headers":{"Location":"/"}}]}`,
		".vercel/output/static/index.html":                     page,
		".vercel/output/static/copy.html":                      page,
		".vercel/output/static/small.css":                      "a{}",
		".vercel/output/static/photo.jpg":                      page,
		".vercel/output/functions/api.func/.vc-config.json":    `{"runtime":"nodejs20.x","handler":"index.js","launcherType":"Nodejs","filePathMap":{"lib/x.js":"lib/x.js"}}`,
		".vercel/output/functions/api.func/index.js":           "module.exports = require('./lib/x')",
		".vercel/output/functions/api.func/bin/tool*":          "#!/bin/sh",
		".vercel/output/functions/api.func/latest -> bin":      "",
		".vercel/output/functions/isr.func -> api.func":        "",
		".vercel/output/functions/isr.prerender-config.json":   `{"expiration":60,"fallback":"isr.prerender-fallback.html"}`,
		".vercel/output/functions/isr.prerender-fallback.html": "<p>made by the build</p>",
		"lib/x.js": "module.exports = 1",
	}
}

func TestAssembleMakesADurableManifest(t *testing.T) {
	p := newPlatform(t)
	digest, m := p.mustAssemble(p.upload(site()))
	kept, err := artifact.ReadJSON[lateen.Manifest](t.Context(), p.store, digest)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(m)
	b, _ := json.Marshal(kept)
	if diff := cmp.Diff(string(a), string(b)); diff != "" {
		t.Errorf("the stored manifest differs: %s", diff)
	}
	if got := m.Outputs["/isr"]; got != "/api" {
		t.Errorf("/isr is answered by %q", got)
	}
	if got := p.read(m.Prerenders["/isr"].Fallback.Digest); got != "<p>made by the build</p>" {
		t.Errorf("fallback %q", got)
	}
	dir := filepath.Join(p.dir, "trees", string(m.Functions["/api"].Tree))
	for name, want := range map[string]string{"index.js": "module.exports = require('./lib/x')", "lib/x.js": "module.exports = 1", "latest/tool": "#!/bin/sh"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is laid out as %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/tool")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("the executable: %v, %v", info, err)
	}
	want := []string{
		"Read the build output: 1 route, 4 static files, 1 function behind 2 paths, 1 prerendered path",
		"Notice: nodejs20.x is past its end of life: /api will run on Node 22",
		"Laid out 1 function tree with 4 files in",
		"Compressed 1 static file from 4.5 kB to",
	}
	if len(p.lines) != len(want) {
		t.Fatalf("build log %q", p.lines)
	}
	for i, line := range p.lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d of the build log is %q, want %q", i, line, want[i])
		}
	}
}

func TestAssembleCompressesFilesThatBecomeSmaller(t *testing.T) {
	p := newPlatform(t)
	files := site()
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(i * i * 31 >> 3)
	}
	random := strings.Builder{}
	for d := lateen.DigestOf(noise); random.Len() < 4096; d = lateen.DigestOf([]byte(d)) {
		for i := 0; i < len(d); i += 2 {
			var c int
			fmt.Sscanf(string(d[i:i+2]), "%x", &c)
			random.WriteByte(byte(c))
		}
	}
	files[".vercel/output/static/random.txt"] = random.String()
	_, m := p.mustAssemble(p.upload(files))
	for path, want := range map[string][]string{
		"/index.html": {"br", "gzip", "zstd"}, "/copy.html": {"br", "gzip", "zstd"},
		"/small.css": nil, "/photo.jpg": nil, "/random.txt": nil,
	} {
		f := m.Files[path]
		var got []string
		for coding, blob := range f.Encodings {
			got = append(got, coding)
			if content := p.read(blob.Digest); int64(len(content)) != blob.Size || blob.Size > f.Size*95/100 {
				t.Errorf("%s has %d bytes of %d in %s, but its size is %d", path, len(content), f.Size, coding, blob.Size)
			}
			if got := decode(t, coding, p.read(blob.Digest)); got != page {
				t.Errorf("%s is other content in %s", path, coding)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func decode(t testing.TB, coding, content string) string {
	t.Helper()
	var r io.Reader
	var err error
	switch coding {
	case "br":
		r = brotli.NewReader(strings.NewReader(content))
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(content))
	case "zstd":
		r, err = zstd.NewReader(strings.NewReader(content), zstd.WithDecoderMaxWindow(8<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode %s: %v", coding, err)
	}
	return string(b)
}

func TestAssembleKeepsToTheWindowThatClientsHave(t *testing.T) {
	p := newPlatform(t)
	files := site()
	large := strings.Repeat(page, 9<<20/len(page)+1)
	files[".vercel/output/static/large.txt"] = large
	_, m := p.mustAssemble(p.upload(files))
	for coding, blob := range m.Files["/large.txt"].Encodings {
		if decode(t, coding, p.read(blob.Digest)) != large {
			t.Errorf("other content in %s", coding)
		}
	}
	if n := len(m.Files["/large.txt"].Encodings); n != 3 {
		t.Errorf("%d encodings", n)
	}
}

func TestAssembleCompressesNothingTwice(t *testing.T) {
	p := newPlatform(t)
	src := p.upload(site())
	first, _ := p.mustAssemble(src)
	second, _ := p.mustAssemble(src)
	if first != second {
		t.Errorf("the same upload has the manifests %s and %s", first, second)
	}
	if last := p.lines[len(p.lines)-1]; last != "Compressed before: 1 static file" {
		t.Errorf("build log %q", p.lines)
	}
}

func TestAssembleRepeatsACompressionWhoseResultIsLost(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, p *platform, variant lateen.Digest){
		"swept": func(t *testing.T, p *platform, variant lateen.Digest) {
			keep := func(d lateen.Digest) bool { return d != variant }
			if swept, err := artifacttest.Sweep(t.Context(), p.store, keep, time.Now().Add(time.Hour)); err != nil || swept.Files != 1 {
				t.Fatalf("sweep: %v, %v", swept, err)
			}
		},
		"forgotten": func(t *testing.T, p *platform, _ lateen.Digest) {
			if err := os.RemoveAll(filepath.Join(p.dir, "variants")); err != nil {
				t.Fatal(err)
			}
		},
		"altered": func(t *testing.T, p *platform, variant lateen.Digest) {
			file := filepath.Join(p.dir, "artifacts", string(variant[:2]), string(variant))
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 1
			if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, content, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"damaged": func(t *testing.T, p *platform, _ lateen.Digest) {
			file := lateen.DigestOf([]byte(page))
			if err := os.WriteFile(filepath.Join(p.dir, "variants", string(file[:2]), string(file)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			src := p.upload(site())
			first, m := p.mustAssemble(src)
			lose(t, p, m.Files["/index.html"].Encodings["br"].Digest)
			again, m := p.mustAssemble(src)
			if first != again || decode(t, "br", p.read(m.Files["/index.html"].Encodings["br"].Digest)) != page {
				t.Errorf("manifest %s, then %s", first, again)
			}
			if last := p.lines[len(p.lines)-1]; !strings.HasPrefix(last, "Compressed 1 static file from") {
				t.Errorf("build log %q", p.lines)
			}
		})
	}
}

func TestAssembleProtectsReusedArtifactsFromSweeps(t *testing.T) {
	p := newPlatform(t)
	src := p.upload(site())
	digest, _ := p.mustAssemble(src)
	mark := time.Now()
	<-time.After(10 * time.Millisecond) // the clocks of file systems tick in milliseconds
	p.mustAssemble(src)
	none := func(lateen.Digest) bool { return false }
	if _, err := artifacttest.Sweep(t.Context(), p.store, none, mark.Add(5*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	listed := make(map[lateen.Digest]bool) // the listing of the upload references these
	for _, f := range src.Files {
		listed[f.Blob.Digest] = true
	}
	m, err := artifact.ReadJSON[lateen.Manifest](t.Context(), p.store, digest)
	if err != nil {
		t.Fatalf("the manifest: %v", err)
	}
	for path, f := range m.Files {
		for coding, blob := range f.Encodings {
			if _, err := p.store.Size(t.Context(), blob.Digest); err != nil && !listed[blob.Digest] {
				t.Errorf("%s in %s: %v", path, coding, err)
			}
		}
	}
	for name, fn := range m.Functions {
		if _, err := p.store.Size(t.Context(), fn.Tree); err != nil {
			t.Errorf("the tree of %s: %v", name, err)
		}
	}
}

func TestAssembleForgetsResultsForSweptContent(t *testing.T) {
	p := newPlatform(t)
	p.mustAssemble(p.upload(site()))
	none := func(lateen.Digest) bool { return false }
	if _, err := artifacttest.Sweep(t.Context(), p.store, none, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	empty := p.upload(map[string]string{".vercel/output/config.json": `{"version":3}`})
	for range 20_000 { // each call cleans one directory of 256
		p.mustAssemble(empty)
		left, err := filepath.Glob(filepath.Join(p.dir, "variants/*/*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
	}
	t.Error("swept content is still cached")
}

func TestKeepNamesAllThatAManifestNeeds(t *testing.T) {
	p := newPlatform(t)
	src := p.upload(site())
	digest, want := p.mustAssemble(src)
	digests, err := assemble.Keep(t.Context(), p.store, digest)
	if err != nil {
		t.Fatal(err)
	}
	wanted := make(map[lateen.Digest]bool)
	for _, d := range digests {
		wanted[d] = true
	}
	keep := func(d lateen.Digest) bool { return wanted[d] }
	later := time.Now().Add(time.Hour)
	if swept, err := artifacttest.Sweep(t.Context(), p.store, keep, later); err != nil || swept.Files == 0 {
		t.Fatalf("sweep: %v, %v; the configuration is needed no more", swept, err)
	}
	if _, err := p.trees.Sweep(t.Context(), func(lateen.Digest) bool { return false }, later); err != nil {
		t.Fatal(err)
	}
	got, err := artifact.ReadJSON[lateen.Manifest](t.Context(), p.store, digest)
	if err != nil {
		t.Fatal(err)
	}
	for path, f := range got.Files {
		p.read(f.Digest)
		for _, blob := range f.Encodings {
			p.read(blob.Digest)
		}
		if len(f.Encodings) != len(want.Files[path].Encodings) {
			t.Errorf("%s lost encodings", path)
		}
	}
	p.read(got.Prerenders["/isr"].Fallback.Digest)
	if _, err := p.trees.Dir(t.Context(), got.Functions["/api"].Tree); err != nil {
		t.Errorf("the function can't be laid out again: %v", err)
	}
	if _, err := assemble.Keep(t.Context(), p.store, lateen.DigestOf([]byte("absent"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent manifest: %v", err)
	}
}

func TestAssembleRefusesAndLeavesNothingToServe(t *testing.T) {
	p := newPlatform(t)
	for name, test := range map[string]struct {
		file, text string
		want       error
	}{
		"malformed route":   {".vercel/output/config.json", `{"version":3,"routes":[{"src":"/("}]}`, lateen.ErrInvalidRoute},
		"unknown version":   {".vercel/output/config.json", `{"version":4}`, lateen.ErrBuildOutputVersion},
		"hostile mapping":   {".vercel/output/functions/api.func/.vc-config.json", `{"runtime":"edge","entrypoint":"index.js","filePathMap":{"a":"../../etc/passwd"}}`, lateen.ErrBuildOutput},
		"failed build":      {".vercel/output/builds.json", `{"error":"no"}`, lateen.ErrBuildOutputFailed},
		"foreign target":    {".vercel/output/builds.json", `{"target":"production"}`, lateen.ErrBuildOutput},
		"hostile upload":    {"../escape", "x", lateen.ErrUploadPath},
		"hostile link":      {".vercel/output/functions/api.func/out -> ../../../../..", "", lateen.ErrTreeInvalid},
		"broken prerender":  {".vercel/output/functions/isr.prerender-config.json", `{`, lateen.ErrBuildOutput},
		"truncated archive": {".vercel/source.tgz.part1", "\x1f\x8b", lateen.ErrUploadArchive},
	} {
		t.Run(name, func(t *testing.T) {
			files := site()
			files[test.file] = test.text
			src := p.upload(files)
			src.Target = "preview"
			digest, m, err := p.assemble(src)
			if !errors.Is(err, test.want) || digest != "" || m != nil {
				t.Errorf("%q, %v, %v; want %v", digest, m, err, test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(p.dir, "trees/*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestAssembleEndsWithItsContext(t *testing.T) {
	p := newPlatform(t)
	src := p.upload(site())
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("canceled by its owner")
	_, _, err := p.Assemble(ctx, src, func(string) { cancel(stopped) })
	if !errors.Is(err, stopped) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestNewRefusesMissingOptions(t *testing.T) {
	if _, err := assemble.New(assemble.Options{}); err == nil {
		t.Error("a builder was made of nothing")
	}
}

// After the processor time for compression is used up, the remaining files are
// served uncompressed, and the deployment does not fail.
func TestAssembleLimitsTheProcessorTimeForCompression(t *testing.T) {
	p := newPlatform(t, func(o *assemble.Options) { o.CPUs, o.CPUTime = 1, time.Nanosecond })
	files := map[string]string{".vercel/output/config.json": `{"version":3}`}
	for i := range 20 {
		files[fmt.Sprintf(".vercel/output/static/%d.html", i)] = fmt.Sprint(i) + strings.Repeat(page, 20)
	}
	_, m := p.mustAssemble(p.upload(files))
	compressed := 0
	for _, f := range m.Files {
		if len(f.Encodings) > 0 {
			compressed++
		}
	}
	if compressed != 1 {
		t.Errorf("%d of 20 files are compressed, want the one with which the time is used up", compressed)
	}
	if !slices.ContainsFunc(p.lines, func(line string) bool {
		return strings.HasPrefix(line, "Notice: 19 static files not compressed")
	}) {
		t.Errorf("build log %q", p.lines)
	}
}
