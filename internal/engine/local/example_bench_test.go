package local

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
	"github.com/lateen-dev/lateen/test/link"
)

// example is a function that a framework has built, and a path that it answers.
type example struct{ name, function, path string }

func examples() []example {
	return []example{
		{"hono", "index", "/"},
		{"sveltekit", "ssr", "/ssr"},
		{"nuxt", "__fallback", "/ssr"},
		{"astro", "_render", "/ssr"},
		{"nextjs", "dynamic", "/dynamic"},
		{"nextjs", "api/hello", "/api/hello"},
		{"nextjs", "middleware", "/dynamic"},
	}
}

// layOutExample creates the tree of a built function in dir and returns its spec.
func layOutExample(t testing.TB, dir string, x example) lateen.FunctionSpec {
	t.Helper()
	project := filepath.Join("..", "..", "..", "examples", x.name)
	source, err := filepath.EvalSymlinks(filepath.Join(project, ".vercel", "output", "functions", x.function+".func"))
	if err != nil {
		t.Skipf("the example is not built: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(source, ".vc-config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Runtime     string            `json:"runtime"`
		Handler     string            `json:"handler"`
		Entrypoint  string            `json:"entrypoint"`
		Helpers     bool              `json:"shouldAddHelpers"`
		SourceMaps  bool              `json:"shouldAddSourcemapSupport"`
		FilePathMap map[string]string `json:"filePathMap"`
		Environment map[string]string `json:"environment"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	tree := lateen.DigestOf([]byte(x.name + x.function))
	at := filepath.Join(dir, string(tree))
	for to, from := range config.FilePathMap {
		if err := link.File(filepath.Join(project, from), filepath.Join(at, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := link.Tree(source, at); err != nil {
		t.Fatal(err)
	}
	handler := config.Handler
	if handler == "" {
		handler = config.Entrypoint
	}
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey(lateen.DeploymentID("dpl_"+x.name), x.function), Project: "prj_1", Deployment: lateen.DeploymentID("dpl_" + x.name), Name: x.function,
		Function: lateen.Function{
			Runtime: config.Runtime, Handler: handler, Tree: tree, LauncherType: "Nodejs",
			AddHelpers: config.Helpers, AddSourcemaps: config.SourceMaps, Environment: config.Environment,
		},
		Env: config.Environment,
	}
}

// page requests a page in the form of the edge and reads it to the end.
func page(t testing.TB, i engine.Instance, path string) (first time.Duration, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL, req.Host = &url.URL{Path: path}, "example.com"
	req.Header = http.Header{"Accept": {"text/html"}, "X-Matched-Path": {path}, "X-Forwarded-Host": {"example.com"}, "X-Forwarded-Proto": {"https"}}
	began := time.Now()
	resp, err := i.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	first = time.Since(began)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %.500s", path, resp.Status, err, text)
	}
	return first, string(text)
}

// openExamples returns an engine with the functions of all examples.
func openExamples(t testing.TB, change func(*Options)) (*Engine, map[example]lateen.FunctionSpec) {
	t.Helper()
	trees := filepath.Join(enginetest.Reachable(t), "trees")
	specs := map[example]lateen.FunctionSpec{}
	for _, x := range examples() {
		specs[x] = layOutExample(t, trees, x)
	}
	o := Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: trees, Logs: &enginetest.Logs{},
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(trees, string(tree)), nil
		},
		Toolchain: enginetest.Toolchain(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	return running(t, o), specs
}

// BenchmarkExamples measures from the decision to start a framework's function to
// the head of its first response: from a blank process, with a code cache, and
// forked.
func BenchmarkExamples(b *testing.B) {
	for _, kind := range []string{"plain", "archive", "template"} {
		e, specs := openExamples(b, func(o *Options) {
			if kind != "template" {
				o.Templates = -1
			}
		})
		for _, x := range examples() {
			b.Run(kind+"/"+x.name+"/"+x.function, func(b *testing.B) {
				e.learn(b, kind, specs[x], x.path)
				var took, load, handler times
				var cpu time.Duration
				n := 0
				for b.Loop() {
					awaitPool(b, e)
					began := time.Now()
					i, err := e.Start(b.Context(), specs[x])
					if err != nil {
						b.Fatal(err)
					}
					loaded := time.Now()
					first, _ := page(b, i, x.path)
					took, load, handler = append(took, loaded.Sub(began)+first), append(load, loaded.Sub(began)), append(handler, first)
					cpu += i.Usage().CPU
					n++
					if template := i.Started().Kind == lateen.StartTemplate; template != (kind == "template") {
						b.Fatalf("kind of start: %s", i.Started().Kind)
					}
					end(i)
				}
				took.report(b)
				load.of(b, "load")
				handler.of(b, "handler")
				b.ReportMetric(float64(cpu.Microseconds())/1000/float64(n), "cpu-ms")
			})
		}
	}
}

// learn makes the engine complete all preparations of a function that the kind
// allows.
func (e *Engine) learn(b testing.TB, kind string, spec lateen.FunctionSpec, path string) {
	b.Helper()
	e.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = kind == "plain" }) // stays busy, so that nothing is prepared
	if kind == "plain" {
		return
	}
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	for {
		i, err := e.Start(ctx, spec)
		if err != nil {
			b.Fatal(err)
		}
		page(b, i, path)
		tag := i.(*instance.Instance).Tag
		end(i)
		var done bool
		e.learner.With(spec.Key, func(a *learn.Profile) {
			done = a.Trained && !a.Preparing && (kind == "archive" || e.templates.Has(spec.Key))
			if a.Forkable != learn.Unknown {
				b.Logf("it has no template: %s", a.Unforkable)
			}
		})
		if done && (kind == "template" || e.archives.Find(spec.Key, tag) != nil) {
			if found := e.archives.Find(spec.Key, tag); found != nil {
				b.Logf("its archive has %d bytes", found.Size)
			}
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			b.Fatal("the function was not prepared")
		}
	}
}
