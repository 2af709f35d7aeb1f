package wasi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

const tree = lateen.Digest("tree")

// rig is an engine with the test's function.
type rig struct {
	*Engine

	logs  *enginetest.Logs
	trees string
	dir   string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{logs: &enginetest.Logs{}, trees: t.TempDir(), dir: t.TempDir()}
	dir := filepath.Join(r.trees, string(tree))
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "data"), 0o755), os.WriteFile(filepath.Join(dir, "data", "note.txt"), []byte("a note"), 0o644),
		os.WriteFile(filepath.Join(dir, "text.wasm"), []byte("no module"), 0o644), os.Symlink("/etc/passwd", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "program.wasm"), "./testdata/program")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.open(t)
	return r
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	var err error
	r.Engine, err = New(t.Context(), Options{
		Dir: r.dir, Logs: r.logs,
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(r.trees, string(tree)), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	e := r.Engine
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func spec(change func(*lateen.FunctionSpec)) lateen.FunctionSpec {
	s := lateen.FunctionSpec{
		Name: "/api", Project: "prj_1", Deployment: "dpl_1", Env: map[string]string{"GREETING": "hello", "PATH_INFO": "of the function"},
		Function: lateen.Function{Runtime: Runtime, Handler: "program.wasm", Tree: tree},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func (r *rig) start(t *testing.T, change func(*lateen.FunctionSpec)) engine.Instance {
	t.Helper()
	i, err := r.Start(t.Context(), spec(change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		i.Stop(ctx)
	})
	return i
}

func request(ctx context.Context, t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	ctx = lateen.WithRequestID(ctx, lateen.NewID[lateen.RequestID]("req_", time.Now()))
	req, err := http.NewRequestWithContext(ctx, method, "http://example.com", body)
	if err != nil {
		t.Fatal(err)
	}
	if req.URL, err = url.Parse(target); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Real-Ip", "192.0.2.1")
	return req
}

func whole(t *testing.T, i engine.Instance, req *http.Request) (*http.Response, string, error) {
	t.Helper()
	resp, err := i.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), errors.Join(err, resp.Body.Close())
}

func TestModules(t *testing.T) {
	r := newRig(t)
	t.Run("answer", func(t *testing.T) { testAnswer(t, r) })
	t.Run("fail", func(t *testing.T) { testFail(t, r) })
	t.Run("stream", func(t *testing.T) { testStream(t, r) })
	t.Run("end with who asked", func(t *testing.T) { testEnd(t, r) })
	t.Run("are compiled once", func(t *testing.T) { testCompile(t, r) })
	t.Run("are compiled for whoever asks next", func(t *testing.T) { testCompileOn(t, r) })
	t.Run("are not compiled after the end", func(t *testing.T) { testCompileEnd(t, r) })
	t.Run("cannot be loaded", func(t *testing.T) {
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
			_, err := r.Start(t.Context(), spec(func(s *lateen.FunctionSpec) { s.Function.Handler, s.Function.Memory = c.handler, c.memory }))
			if !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %q", c.handler, err, c.text)
			}
		}
		if _, err := r.Start(t.Context(), spec(func(s *lateen.FunctionSpec) { s.Function.Runtime = "nodejs24.x" })); !errors.Is(err, lateen.ErrFunctionRuntime) {
			t.Errorf("another runtime: %v", err)
		}
		for key, m := range r.modules {
			if m.err != nil || m.users > 0 {
				t.Errorf("%v stays, with %d users, %v", key, m.users, m.err)
			}
		}
	})
}

func testAnswer(t *testing.T, r *rig) {
	i := r.start(t, nil)
	for range 2 {
		req := request(t.Context(), t, http.MethodPost, "/path/a%20b?x=1&y", strings.NewReader("a body"))
		req.Header.Set("X-Own", "kept")
		req.Header.Set("Proxy", "http://evil.example")
		req.Header.Set("X-Vercel-Internal-Hops", "1.secret")
		resp, body, err := whole(t, i, req)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{
			"method": "POST", "path": "/path/a b", "query": "x=1&y", "host": "example.com", "body": "a body", "own": "kept", "greeting": "hello",
			"proxy": "", "client": "192.0.2.1", "https": "on", "file": "a note", "outside": "refused", "above": "refused", "link": "refused",
			"write": "false",
		}, got); diff != "" {
			t.Errorf("it finds (-want +got):\n%s", diff)
		}
		if resp.StatusCode != http.StatusCreated || len(resp.Header["Set-Cookie"]) != 2 || resp.Header.Get("Status") != "" {
			t.Errorf("the response: %s %v", resp.Status, resp.Header)
		}
	}
	resp, _, err := whole(t, i, request(t.Context(), t, http.MethodGet, "/redirect", nil))
	if err != nil || resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/elsewhere" {
		t.Errorf("a redirect: %v, %v", resp, err)
	}
	u := i.Usage()
	if u.Peak < 1<<20 || u.Memory != 0 || i.Busy() != 0 {
		t.Errorf("its usage is %+v, %d busy", u, i.Busy())
	}
	lines := r.logs.Lines()
	if len(lines) == 0 || lines[0].Text != "a line of it" || lines[0].Request == "" || lines[0].Instance != i.ID() || lines[0].Level != lateen.LevelError {
		t.Errorf("the lines are %+v", lines)
	}
}

func testFail(t *testing.T, r *rig) {
	i := r.start(t, func(s *lateen.FunctionSpec) { s.Function.Memory = 32 })
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
		{"/memory", lateen.ErrFunctionFailed, "it used more than 32 MiB of memory"},
	} {
		if _, _, err := whole(t, i, request(t.Context(), t, http.MethodPost, c.target, strings.NewReader("x"))); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", c.target, err, c.want, c.text)
		}
	}
	if _, _, err := whole(t, i, request(t.Context(), t, http.MethodGet, "/", nil)); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if u := i.Usage(); u.Peak > 32<<20 {
		t.Errorf("it used %d bytes", u.Peak)
	}
}

func testStream(t *testing.T, r *rig) {
	enginetest.Shouts(t, r.start(t, nil), func(body io.Reader) *http.Request {
		return request(t.Context(), t, http.MethodPost, "/stream", body)
	})
}

// testEnd: a busy loop, a sleep and a wait for input end with their request,
// and do not stand in the way of others.
func testEnd(t *testing.T, r *rig) {
	i := r.start(t, nil)
	for _, target := range []string{"/busy", "/sleep", "/stream"} {
		why := errors.New("it took too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
		body, w := io.Pipe()
		began := time.Now()
		_, _, err := whole(t, i, request(ctx, t, http.MethodPost, target, body))
		cancel()
		w.Close()
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", target, err)
		}
		for i.Busy() > 0 && time.Since(began) < time.Minute {
			if _, _, err := whole(t, i, request(t.Context(), t, http.MethodGet, "/", nil)); err != nil {
				t.Error(err)
			}
		}
		if i.Busy() > 0 {
			t.Errorf("%s still runs", target)
		}
	}
	if u := i.Usage(); u.CPU < 10*time.Millisecond { // of 300, where others want the processors too
		t.Errorf("a busy loop has used %v", u.CPU)
	}
	stopped := r.start(t, nil)
	resp := make(chan error, 1)
	req := request(t.Context(), t, http.MethodGet, "/sleep", nil)
	go func() {
		_, _, err := whole(t, stopped, req)
		resp <- err
	}()
	for stopped.Busy() == 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped.Stop(ctx)
	if err := <-resp; err == nil {
		t.Error("a request outlives its instance")
	}
	if _, err := stopped.RoundTrip(request(t.Context(), t, http.MethodGet, "/", nil)); !errors.Is(err, engine.ErrNotTaken) {
		t.Errorf("after Stop: %v", err)
	}
}

func testCompile(t *testing.T, r *rig) {
	first := r.start(t, nil)
	t.Logf("%+v", first.Started())
	first.Stop(t.Context())
	second := r.start(t, nil)
	if first.(*instance).module != second.(*instance).module {
		t.Error("two instances have compiled the module each")
	}
	again := &rig{logs: r.logs, trees: r.trees, dir: r.dir}
	again.open(t)
	if err := again.Prepare(t.Context(), spec(nil)); err != nil {
		t.Fatal(err)
	}
	i := again.start(t, nil)
	t.Logf("%+v", i.Started())
	if i.Started().Kind != lateen.StartBlank {
		t.Errorf("the start was %s, with a module that is on disk", i.Started().Kind)
	}
}

// testCompileOn: who does not wait for a module does not stop it from being
// compiled, and it is compiled once for all the trees that it is in.
func testCompileOn(t *testing.T, r *rig) {
	if err := os.CopyFS(filepath.Join(r.trees, "copy"), os.DirFS(filepath.Join(r.trees, string(tree)))); err != nil {
		t.Fatal(err)
	}
	slow := &rig{logs: r.logs, trees: r.trees, dir: t.TempDir()}
	slow.open(t)
	slow.compiling <- struct{}{} // others are being compiled
	why := errors.New("it took too long")
	for range 2 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, why)
		if _, err := slow.Start(ctx, spec(nil)); !errors.Is(err, why) {
			t.Errorf("a start that cannot wait: %v", err)
		}
		cancel()
	}
	slow.mu.Lock()
	m := slow.modules[moduleKey{tree, "program.wasm"}]
	slow.mu.Unlock()
	<-slow.compiling
	<-m.ready // though nobody waits for it
	if i := slow.start(t, nil); i.(*instance).module != m || i.Started().Kind != lateen.StartCold {
		t.Errorf("for the next who asks it is not the module that was compiled, or the start was %s", i.Started().Kind)
	}
	if i := slow.start(t, func(s *lateen.FunctionSpec) { s.Function.Tree = "copy" }); i.Started().Kind != lateen.StartBlank || len(slow.onDisk()) != 1 {
		t.Errorf("in another tree the start was %s, with %d modules compiled", i.Started().Kind, len(slow.onDisk()))
	}
}

// testCompileEnd: what waits to be compiled, and what is being compiled, ends
// with Run.
func testCompileEnd(t *testing.T, r *rig) {
	for _, waits := range []bool{true, false} {
		e, err := New(t.Context(), Options{Dir: t.TempDir(), Logs: r.logs, Trees: r.o.Trees})
		if err != nil {
			t.Fatal(err)
		}
		if waits {
			e.compiling <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended, started := make(chan error, 1), make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		go func() { started <- e.Prepare(t.Context(), spec(nil)) }()
		for known := 0; known == 0 || !waits && len(e.compiling) == 0; {
			runtime.Gosched()
			e.mu.Lock()
			known = len(e.modules)
			e.mu.Unlock()
		}
		cancel()
		if err := <-started; !errors.Is(err, errStopped) {
			t.Errorf("waits %t: the start ends with %v", waits, err)
		}
		if err := <-ended; err != nil || len(e.onDisk()) != 0 {
			t.Errorf("waits %t: Run ends with %v, with %d modules compiled", waits, err, len(e.onDisk()))
		}
	}
}
