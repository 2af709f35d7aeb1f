package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/test/bench/proc"
)

func routerChapter() chapter {
	return chapter{
		name: "router", title: "Router",
		method: `Resolving a request to an output, with the routes that Next.js wrote for examples/nextjs:
` + "`route.Router.Resolve`" + ` in a loop, in this program, one goroutine, ` + "`testing.Benchmark`" + ` three times each, the
median of them. The application's middleware is consulted each time and answers at once; running it is not counted.`,
		measure: measureRouter,
	}
}

// routed is a request and the kind of answer that it must find.
type routed struct {
	name, path string
	want       route.Kind
}

func measureRouter(ctx context.Context, b *bench) ([]table, error) {
	manifest, err := readManifest(filepath.Join(b.root, "examples", "nextjs"))
	if err != nil {
		return nil, err
	}
	router, err := route.Compile(manifest)
	if err != nil {
		return nil, err
	}
	cases := []routed{
		{"static file", anyScript(manifest), route.Static},
		{"cached page", "/isr", route.Prerender},
		{"function", "/api/hello", route.Function},
		{"cached page of a dynamic route", "/posts/another", route.Prerender},
		{"miss: the page for it", "/no/such/page", route.Static},
	}
	testing.Init() // flags of its own, which testing.Benchmark reads
	if err := flag.Set("test.benchtime", "300ms"); err != nil {
		return nil, err
	}
	t := table{
		caption: fmt.Sprintf("%d routes, %d files, %d functions under %d paths.", len(manifest.Routes), len(manifest.Files), len(manifest.Functions), len(manifest.Outputs)),
		head:    []string{"request", "path", "µs", "allocations", "bytes"}, text: 2,
	}
	for _, c := range cases {
		b.line.say("%s", c.name)
		if err := b.machine.quiet(ctx); err != nil {
			return nil, err
		}
		req := &route.Request{Method: http.MethodGet, Scheme: "http", Host: "app.localhost", Path: c.path, Header: http.Header{"Accept": {"*/*"}}}
		d, err := router.Resolve(ctx, req, pass)
		if err == nil && d.Kind != c.want {
			err = fmt.Errorf("it is answered by %s, not %s", d.Kind, c.want)
		}
		if err != nil {
			t.fail(err, c.name, c.path)
			continue
		}
		t.add(ours, append([]string{c.name, c.path}, benchmark(b.times(3), func() { _, _ = router.Resolve(ctx, req, pass) })...)...)
	}
	t.add(ours, append([]string{"compile the table", none}, benchmark(b.times(3), func() { _, _ = route.Compile(manifest) })...)...)
	return []table{t}, nil
}

// pass is a middleware that lets everything pass.
func pass(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) {
	return nil, nil //nolint:nilnil // that is how one passes
}

// benchmark returns the cells of do: µs, allocations and bytes.
func benchmark(rounds int, do func()) []string {
	var ns []float64
	var last testing.BenchmarkResult
	for range rounds {
		last = testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
		ns = append(ns, float64(last.T.Nanoseconds())/float64(last.N))
	}
	return []string{fmt.Sprintf("%.2f", median(ns)/1000), strconv.FormatInt(last.AllocsPerOp(), 10), strconv.FormatInt(last.AllocedBytesPerOp(), 10)}
}

// anyScript is the path of a script, the first in the alphabet.
func anyScript(m *lateen.Manifest) string {
	first := ""
	for path := range m.Files {
		if strings.HasSuffix(path, ".js") && (first == "" || path < first) {
			first = path
		}
	}
	return first
}

// readManifest reads the build output of a project as a deployment would.
func readManifest(dir string) (*lateen.Manifest, error) {
	src := buildoutput.Source{Files: make(map[string]buildoutput.File)}
	from := make(map[lateen.Digest]string)
	src.Open = func(b lateen.Blob) (io.ReadCloser, error) { return os.Open(from[b.Digest]) }
	add := func(rel string) error {
		name := filepath.Join(dir, rel)
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		f := buildoutput.File{Mode: uint32(info.Mode().Perm())}
		if info.Mode()&fs.ModeSymlink != 0 {
			f.Link, err = os.Readlink(name)
		} else {
			var content []byte
			content, err = os.ReadFile(name)
			f.Blob = lateen.Blob{Digest: lateen.DigestOf(content), Size: int64(len(content))}
			from[f.Digest] = name
		}
		src.Files[rel] = f
		return err
	}
	err := filepath.WalkDir(filepath.Join(dir, ".vercel", "output"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if err := add(rel); err != nil || entry.Name() != ".vc-config.json" {
			return err
		}
		var config struct {
			FilePathMap map[string]string `json:"filePathMap"`
		}
		if err := json.Unmarshal([]byte(proc.Text(name)), &config); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, mapped := range config.FilePathMap {
			if _, known := src.Files[mapped]; known {
				continue
			}
			if err := add(mapped); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the build output (run `make examples`): %w", err)
	}
	out, err := buildoutput.Read(src, buildoutput.Options{})
	if err != nil {
		return nil, err
	}
	return out.Manifest, nil
}
