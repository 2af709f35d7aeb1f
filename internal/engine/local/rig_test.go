package local

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// The machine may be busy with other tests, under the race detector as well: waits
// have a long timeout, and the timeouts of starts are multiplied.
const (
	waitLimit = 5 * time.Minute
	slowness  = 10
)

// rig is an engine whose functions are files of a test.
type rig struct {
	*Engine

	t     *testing.T
	logs  *enginetest.Logs
	trees string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigIn(t, nil)
}

// newRigIn returns a rig whose functions have a network.
func newRigIn(t *testing.T, network *egress.Network) *rig {
	t.Helper()
	r := &rig{t: t, logs: &enginetest.Logs{}, trees: enginetest.Reachable(t)}
	r.Engine = running(t, Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: r.trees, Logs: r.logs, Toolchain: enginetest.Toolchain(t), Pool: 1, Network: network, Path: filepath.SplitList(os.Getenv("PATH")),
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(r.trees, string(tree)), nil
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	return r
}

// tree creates the tree of a function from world-readable files.
func (r *rig) tree(name string, files map[string]string) lateen.Digest {
	r.t.Helper()
	for path, content := range files {
		file := filepath.Join(r.trees, name, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			r.t.Fatal(err)
		}
	}
	return lateen.Digest(name)
}

// begin starts an instance that ends with the test.
func (r *rig) begin(t *testing.T, f lateen.Function, env map[string]string) (engine.Instance, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	name := "/" + string(f.Tree)
	i, err := r.Start(ctx, lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", name+f.Handler), Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Name: name, Function: f, Env: env,
	})
	if err == nil {
		t.Cleanup(func() { end(i) })
	}
	return i, err
}

// start is begin with t.Fatal on an error.
func (r *rig) start(t *testing.T, f lateen.Function, env map[string]string) engine.Instance {
	t.Helper()
	i, err := r.begin(t, f, env)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// to returns a request in the form of the edge.
func to(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	ctx := lateen.WithRequestID(t.Context(), lateen.NewID[lateen.RequestID]("req_", time.Now()))
	req, err := http.NewRequestWithContext(ctx, method, "http://example.com", body)
	if err != nil {
		t.Fatal(err)
	}
	if req.URL, err = url.Parse(target); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-Proto", "https")
	return req
}

// whole reads a response to its end.
func whole(t *testing.T, i engine.Instance, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := i.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", req.URL, err)
	}
	return resp, string(body)
}

// fails sends a request that must fail, or break off, with an error and a text.
func fails(t *testing.T, i engine.Instance, target string, want error, text string) {
	t.Helper()
	resp, err := i.RoundTrip(to(t, http.MethodPost, target, strings.NewReader("x")))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %v with %q", target, err, want, text)
	}
}

// awaitLine waits for a log line of an instance.
func (r *rig) awaitLine(t *testing.T, i engine.Instance, text string) lateen.LogLine {
	t.Helper()
	deadline := time.After(waitLimit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, line := range r.logs.Lines() {
			if line.Instance == i.ID() && strings.Contains(line.Text, text) {
				return line
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no line with %q", text)
		}
	}
}

// rests waits until an instance has no open request.
func rests(t *testing.T, i engine.Instance) {
	t.Helper()
	deadline := time.After(waitLimit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i.Busy() > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d open requests", i.Busy())
		}
	}
}
