package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/test/wasm"
)

// modulesTree creates a tree with the module of the tests, and with files that are
// no modules.
func modulesTree(t testing.TB, r *rig) lateen.Digest {
	t.Helper()
	tree := r.tree("modules", map[string]string{"data/note.txt": "a note", "text.wasm": "no module"})
	dir := filepath.Join(r.trees, string(tree))
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "program.wasm"), "../../guest/wasi/testdata/program")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return tree
}

func TestModules(t *testing.T) {
	r := newRig(t)
	module := lateen.Function{Runtime: wasi.Runtime, Handler: "program.wasm", Tree: modulesTree(t, r)}
	t.Run("cannot be loaded", func(t *testing.T) { testModuleNotLoaded(t, r, module) })
	t.Run("answer", func(t *testing.T) { testModuleAnswers(t, r, module) })
	t.Run("fail", func(t *testing.T) { testModuleFails(t, r, module) })
	t.Run("stream", func(t *testing.T) {
		enginetest.Shouts(t, r.start(t, module, nil), func(body io.Reader) *http.Request { return to(t, http.MethodPost, "/stream", body) })
	})
	t.Run("end with their request", func(t *testing.T) { testModuleEnds(t, r, module) })
}

func testModuleNotLoaded(t *testing.T, r *rig, module lateen.Function) {
	for _, c := range []struct {
		handler string
		memory  int
		text    string
	}{
		{"none.wasm", 0, "none.wasm is not among the function's files"},
		{"text.wasm", 0, "could not be compiled"},
		{"link", 0, "not among"},
		{"program.wasm", 1, "and may use 1"},
	} {
		f := module
		f.Handler, f.Memory = c.handler, c.memory
		if _, err := r.begin(t, f, nil); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", c.handler, err, c.text)
		}
	}
}

// visitor returns a request in the form of the edge, with possible fields of a
// client.
func visitor(t *testing.T, target string) *http.Request {
	req := to(t, http.MethodPost, target, strings.NewReader("a body"))
	req.Header.Set("X-Real-Ip", "192.0.2.1")
	req.Header.Set("X-Own", "kept")
	req.Header.Set("X_Own", "another header of the client")
	req.Header.Set("Proxy", "http://evil.example")
	req.Header.Set("X-Vercel-Internal-Hops", "1.secret")
	return req
}

func testModuleAnswers(t *testing.T, r *rig, module lateen.Function) {
	i := r.start(t, module, map[string]string{"GREETING": "hello", "PATH_INFO": "of the function"})
	for range 2 {
		resp, body := whole(t, i, visitor(t, "/path/a%20b?x=1&y"))
		var got map[string]string
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{
			"method": "POST", "path": "/path/a b", "query": "x=1&y", "host": "example.com", "body": "a body", "own": "kept", "greeting": "hello",
			"proxy": "", "client": "192.0.2.1", "https": "on", "file": "a note", "outside": "refused", "above": "refused", "link": "refused",
			"write": "false",
		}, got); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
		if resp.StatusCode != http.StatusCreated || len(resp.Header["Set-Cookie"]) != 2 || resp.Header.Get("Status") != "" {
			t.Errorf("the response: %s %v", resp.Status, resp.Header)
		}
	}
	resp, _ := whole(t, i, to(t, http.MethodGet, "/redirect", nil))
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/elsewhere" {
		t.Errorf("a redirect: %v", resp)
	}
	rests(t, i)
	if u := i.Usage(); u.Peak < 1<<20 || u.Memory <= 0 {
		t.Errorf("usage: %+v", u)
	}
	if line := r.awaitLine(t, i, "a line of it"); line.Text != "a line of it" || line.Request == "" || line.Level != lateen.LevelError || line.Source != "function" {
		t.Errorf("log line: %+v", line)
	}
}

func testModuleFails(t *testing.T, r *rig, module lateen.Function) {
	module.Memory = 192 // the race detector needs more memory
	i := r.start(t, module, nil)
	for _, c := range []struct {
		target string
		want   error
		text   string
	}{
		{"/exit", lateen.ErrFunctionFailed, "it exited with status 7"},
		{"/cut", lateen.ErrFunctionFailed, "it exited with status 4"},
		{"/panic", lateen.ErrFunctionFailed, "it exited with status 2"},
		{"/nothing", lateen.ErrFunctionNoResponse, "wrote no head"},
		{"/no-head", lateen.ErrFunctionFailed, "the head of its response is malformed"},
		{"/status", lateen.ErrFunctionFailed, `the status "nonsense"`},
		{"/memory", lateen.ErrFunctionFailed, "it used more than 192 MiB of memory"},
	} {
		fails(t, i, c.target, c.want, c.text)
	}
	whole(t, i, to(t, http.MethodGet, "/", nil)) // the same instance continues
	if u := i.Usage(); u.Peak > 192<<20 {
		t.Errorf("peak memory: %d bytes", u.Peak)
	}
}

// testModuleEnds: a busy loop, a sleep and a wait for input end with their request,
// and the instance answers other requests meanwhile.
func testModuleEnds(t *testing.T, r *rig, module lateen.Function) {
	i := r.start(t, module, nil)
	for _, target := range []string{"/busy", "/sleep", "/stream"} {
		why := errors.New("the request took too long")
		ctx, cancel := context.WithCancelCause(t.Context())
		before := i.Usage().CPU
		go func() {
			<-time.After(300 * time.Millisecond)
			for target == "/busy" && i.Usage().CPU < before+10*time.Millisecond && ctx.Err() == nil {
				<-time.After(time.Millisecond) // other tests need the processors, too
			}
			cancel(why)
		}()
		body, w := io.Pipe()
		req := to(t, http.MethodPost, target, body)
		req.ContentLength = -1 // unknown length
		resp, err := i.RoundTrip(req.WithContext(lateen.WithRequestID(ctx, lateen.RequestIDFrom(req.Context()))))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		cancel(nil)
		w.Close()
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", target, err)
		}
		whole(t, i, to(t, http.MethodGet, "/", nil))
		rests(t, i)
	}
	stopped := r.start(t, module, nil)
	ended := make(chan error, 1)
	req := to(t, http.MethodGet, "/sleep", nil)
	go func() {
		_, err := stopped.RoundTrip(req)
		ended <- err
	}()
	r.awaitLine(t, stopped, "sleeping")
	end(stopped)
	if err := <-ended; err == nil {
		t.Error("a request outlives its instance")
	}
	if _, err := stopped.RoundTrip(to(t, http.MethodGet, "/", nil)); !errors.Is(err, engine.ErrNotTaken) {
		t.Errorf("after Stop: %v", err)
	}
}

// TestADamagedArchiveIsReplaced starts a module after its code cache was damaged on
// disk.
func TestADamagedArchiveIsReplaced(t *testing.T) {
	r := newRig(t)
	spec := smallModule(r)
	if err := r.Prepare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tag := r.tags.Of(r.runner(modulesName))
	files, err := filepath.Glob(filepath.Join(r.archives.Find(spec.Key, tag).Dir, "modules", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	code, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	code[len(code)/2] ^= 0xff
	if err := os.WriteFile(files[0], code, 0o644); err != nil {
		t.Fatal(err)
	}
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer end(i)
	whole(t, i, to(t, http.MethodGet, "/", nil))
	if r.archives.Find(spec.Key, tag) != nil {
		t.Error("the damaged code cache remains")
	}
}

// TestAPreparedModuleStarts starts a module from the code that its preparation cached.
func TestAPreparedModuleStarts(t *testing.T) {
	r := newRig(t)
	spec := smallModule(r)
	if err := r.Prepare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if a := r.archives.Find(spec.Key, r.tags.Of(r.runner(modulesName))); a == nil || !a.Modules {
		t.Fatalf("code cache: %+v", a)
	}
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer end(i)
	whole(t, i, to(t, http.MethodGet, "/", nil))
	if !r.archives.Has(spec.Key) {
		t.Error("the start could not use the cached code")
	}
}

// smallModule returns a module that compiles immediately, as a function.
func smallModule(r *rig) lateen.FunctionSpec {
	return moduleOf(r.tree("small", map[string]string{"program.wasm": string(wasm.Hello("hello", "a line of it\n"))}))
}

// moduleOf returns the module of a tree as a function.
func moduleOf(tree lateen.Digest) lateen.FunctionSpec {
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", "module"), Project: "prj_1", Deployment: "dpl_1", Name: "/module",
		Function: lateen.Function{Runtime: wasi.Runtime, Handler: "program.wasm", Tree: tree},
	}
}
