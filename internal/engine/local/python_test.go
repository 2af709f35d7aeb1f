package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

func TestRuntimesMapToVersionsOfPython(t *testing.T) {
	e := &Engine{pythons: []python{{toolchain.Python{Minor: 13}}, {toolchain.Python{Minor: 11}}}, runners: []*process.Runner{{Name: "Python 3.13"}, {Name: "Python 3.11"}}}
	for runtime, want := range map[string]struct{ name, notice string }{
		"python3.13": {"Python 3.13", ""},
		"python3.11": {"Python 3.11", ""},
		"python3.12": {"Python 3.13", "this function runs on Python 3.13"},
		"python3.9":  {"Python 3.11", "this function runs on Python 3.11"},
		"python3.14": {"Python 3.13", "this function runs on Python 3.13"},
		"python3":    {"Python 3.13", ""},
	} {
		r, notice, err := e.runtimeFor(&lateen.Function{Runtime: runtime})
		if err != nil || r != e.runner(want.name) || !strings.Contains(notice, want.notice) || (notice == "") != (want.notice == "") {
			t.Errorf("%s: %q, %v", runtime, notice, err)
		}
	}
	for _, runtime := range []string{"python", "python2.7", "python3.x", "python3-12", "python3."} {
		if _, _, err := e.runtimeFor(&lateen.Function{Runtime: runtime}); !errors.Is(err, lateen.ErrFunctionRuntime) {
			t.Errorf("%s: %v", runtime, err)
		}
	}
	e.pythons = nil
	if _, _, err := e.runtimeFor(&lateen.Function{Runtime: "python3.12"}); !errors.Is(err, lateen.ErrFunctionRuntime) || !strings.Contains(err.Error(), "no Python found on this host") {
		t.Errorf("without any: %v", err)
	}
}

func TestScriptsAreNoPythons(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python3.12"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if found := findPythons([]string{dir}); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

func TestPython(t *testing.T) {
	r := newRig(t)
	if len(r.pythons) == 0 {
		t.Skip("there is no Python on this host: scripts/setup.sh installs one")
	}
	archive, err := txtar.ParseFile("testdata/python.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	tree := r.tree("pythons", files)
	for _, p := range r.pythons {
		t.Run(p.name(), func(t *testing.T) {
			f := func(handler string) lateen.Function {
				return lateen.Function{Runtime: fmt.Sprintf("python3.%d", p.Minor), Handler: handler, Tree: tree}
			}
			for _, style := range []string{"wsgi.py", "asgi.py", "handler.py", "wsgi.application", "vc__handler__python.vc_handler"} {
				t.Run(style, func(t *testing.T) { testPythonAnswers(t, r, f(style)) })
			}
			for _, style := range []string{"wsgi.py", "asgi.py"} {
				t.Run(style+" streams", func(t *testing.T) { testPythonStreams(t, r, f(style)) })
				t.Run(style+" fails", func(t *testing.T) { testPythonFails(t, r, f(style)) })
				t.Run(style+" waits", func(t *testing.T) { testPythonWaits(t, r, f(style)) })
			}
			t.Run("handler.py fails", func(t *testing.T) {
				i := r.start(t, f("handler.py"), nil)
				fails(t, i, "/throw", lateen.ErrFunctionFailed, "ValueError: thrown in the handler")
				fails(t, i, "/cut", lateen.ErrFunctionFailed, "ValueError: cut")
				rests(t, i)
			})
			t.Run("loading", func(t *testing.T) { testPythonLoads(t, r, f) })
			t.Run("lifespan", func(t *testing.T) { testLifespan(t, r, f("asgi.py")) })
			t.Run("blank processes wait", func(t *testing.T) {
				awaitPool(t, r.Engine)
				i := r.start(t, f("wsgi.py"), nil)
				if t.Logf("%+v", i.Started()); i.Started().Kind != lateen.StartBlank {
					t.Errorf("kind of start: %s", i.Started().Kind)
				}
			})
		})
	}
}

func testPythonAnswers(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, map[string]string{"GREETING": "hello"})
	for range 2 {
		req := to(t, http.MethodPost, "/path/a%20b?x=1&y", strings.NewReader("a body"))
		req.Header.Set("X-Own", "kept")
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		resp, body := whole(t, i, req)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		want := map[string]any{
			"method": "POST", "path": "/path/a b", "query": "x=1&y", "body": "a body", "own": "kept", "scheme": "https", "client": "192.0.2.1",
			"greeting": "hello", "internal": []any{}, "cwd": "pythons", "module": "imported", "vendored": "vendored",
		}
		if r.host.Sandbox.PrivateTmp() {
			want["cwd"] = "task"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		if resp.StatusCode != http.StatusCreated || len(resp.Header["Set-Cookie"]) != 2 {
			t.Errorf("the response: %s %v", resp.Status, resp.Header)
		}
		for text, level := range map[string]string{"printed": lateen.LevelInfo, "to stderr": lateen.LevelError, "logged": lateen.LevelWarning} {
			if line := r.awaitLine(t, i, text); line.Request == "" || line.Level != level {
				t.Errorf("log line: %+v", line)
			}
		}
	}
	if resp, body := whole(t, i, to(t, http.MethodHead, "/", nil)); resp.StatusCode != http.StatusCreated || body != "" {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
	chunked := to(t, http.MethodPost, "/", io.MultiReader(strings.NewReader("in "), strings.NewReader("pieces")))
	chunked.ContentLength = -1
	if _, body := whole(t, i, chunked); !strings.Contains(body, `"in pieces"`) {
		t.Errorf("a body of unknown length: %s", body)
	}
	done := make(chan error, 16)
	for range cap(done) {
		req := to(t, http.MethodPost, "/", strings.NewReader(strings.Repeat("long ", 100_000)))
		go func() {
			resp, err := i.RoundTrip(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	rests(t, i)
	if u := i.Usage(); u.Memory <= 0 && u.CPU <= 0 {
		t.Errorf("usage: %+v", u)
	}
}

func testPythonStreams(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	enginetest.Shouts(t, i, func(body io.Reader) *http.Request { return to(t, http.MethodPost, "/stream", body) })
	rests(t, i)
}

func testPythonFails(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	fails(t, i, "/throw", lateen.ErrFunctionFailed, "ValueError: thrown in the handler")
	if line := r.awaitLine(t, i, "Traceback"); line.Request == "" || line.Level != lateen.LevelError || !strings.Contains(line.Text, f.Handler) {
		t.Errorf("log line: %+v", line)
	}
	fails(t, i, "/cut", lateen.ErrFunctionFailed, "ValueError: cut")
	fails(t, i, "/nothing", lateen.ErrFunctionNoResponse, "")
	if resp, _ := whole(t, i, to(t, http.MethodGet, "/", nil)); resp.StatusCode != http.StatusCreated {
		t.Errorf("the next request: %s", resp.Status)
	}
	rests(t, i)
	fails(t, i, "/exit", lateen.ErrFunctionFailed, "sys.exit(3)")
	<-i.Done()
	crash := r.start(t, f, nil)
	fails(t, crash, "/die", lateen.ErrFunctionFailed, "it exited with status 9")
	small := f
	small.Memory = 128
	fails(t, r.start(t, small, nil), "/memory", lateen.ErrFunctionFailed, "it used more than 128 MiB of memory")
	gone := r.start(t, f, nil)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	req := to(t, http.MethodGet, "/wait", nil)
	go func() {
		resp, err := gone.RoundTrip(req.WithContext(ctx))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		failed <- err
	}()
	r.awaitLine(t, gone, "waiting")
	cancel()
	if err := <-failed; err == nil {
		t.Error("the request succeeded")
	}
	rests(t, gone)
}

func testPythonWaits(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	whole(t, i, to(t, http.MethodGet, "/later", nil))
	if i.Busy() != 1 {
		t.Errorf("%d open requests, want 1", i.Busy())
	}
	whole(t, i, to(t, http.MethodGet, "/finish", nil))
	if line := r.awaitLine(t, i, "later done"); line.Request == "" {
		t.Errorf("log line: %+v", line)
	}
	rests(t, i)
}

func testPythonLoads(t *testing.T, r *rig, f func(string) lateen.Function) {
	for handler, text := range map[string]string{
		"throws.py": "RuntimeError: thrown while loading\n\nabout to throw\nTraceback", "syntax.py": "SyntaxError", "nothing.py": "nothing.py has none of app",
		"missing.py": "No module named 'no_such_module'", "none.py": "none.py is not among the function's files", "exits.py": "sys.exit(7)",
		"dies.py": "a signal killed it (killed)", "odd.py": "neither a WSGI application", "startup.py": "the application's startup failed: no database",
	} {
		if _, err := r.begin(t, f(handler), nil); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v\nwant %q", handler, err, text)
		}
	}
}

func testLifespan(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	if _, body := whole(t, i, to(t, http.MethodGet, "/state", nil)); body != "begun" {
		t.Errorf("state: %q", body)
	}
	end(i)
	r.awaitLine(t, i, "shut down")
}

// TestPythonFrameworks runs the frameworks that Debian packages, on Debian's Python.
func TestPythonFrameworks(t *testing.T) {
	const packages = "/usr/lib/python3/dist-packages"
	r := newRig(t)
	for _, c := range []struct {
		needs []string
		app   string
	}{
		{[]string{"flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "simplejson"}, `
from flask import Flask, request
app = Flask(__name__)

@app.route("/hello/<name>", methods=["POST"])
def hello(name):
    return {"hello": name, "sent": request.get_json()["x"], "url": request.url}
`},
		{[]string{"starlette", "anyio", "sniffio", "idna", "typing_extensions.py"}, `
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def hello(request):
    return JSONResponse({"hello": request.path_params["name"], "sent": (await request.json())["x"], "url": str(request.url)})

app = Starlette(routes=[Route("/hello/{name}", hello, methods=["POST"])])
`},
	} {
		name := c.needs[0]
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(packages, name)); err != nil {
				t.Skipf("python3-%s is not on this host: %v", name, err)
			}
			version, err := exec.Command("/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)").Output()
			if err != nil {
				t.Fatal(err)
			}
			tree := r.tree(name, map[string]string{"app.py": c.app})
			for _, need := range c.needs {
				from, to := filepath.Join(packages, need), filepath.Join(r.trees, name, "_vendor", need)
				if info, err := os.Stat(from); err != nil {
					continue // some versions do not need it
				} else if info.IsDir() {
					err = os.CopyFS(to, os.DirFS(from))
					if err != nil {
						t.Fatal(err)
					}
				} else if text, err := os.ReadFile(from); err != nil || os.WriteFile(to, text, 0o644) != nil {
					t.Fatal(err)
				}
			}
			i := r.start(t, lateen.Function{Runtime: "python3." + strings.TrimSpace(string(version)), Handler: "app.py", Tree: tree}, nil)
			req := to(t, http.MethodPost, "/hello/Ada", strings.NewReader(`{"x":[1]}`))
			req.Header.Set("Content-Type", "application/json")
			resp, body := whole(t, i, req)
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%s: %v in %q", resp.Status, err, body)
			}
			if diff := cmp.Diff(map[string]any{"hello": "Ada", "sent": []any{1.0}, "url": "https://example.com/hello/Ada"}, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			t.Logf("%+v", i.Started())
		})
	}
}
