package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// function is an instance under test.
type function struct {
	engine.Instance

	t *testing.T
}

// Spec returns a function of the suite: a file of a tree in testdata. change, if not
// nil, edits the spec.
func Spec(tree, handler string, change func(*lateen.FunctionSpec)) lateen.FunctionSpec {
	spec := lateen.FunctionSpec{
		Key: lateen.FunctionKey(tree + "/" + handler), Team: "team_1", Project: "prj_1", Deployment: "dpl_1",
		Name: "/" + tree + "/" + handler,
		Function: lateen.Function{
			Runtime: "nodejs24.x", Handler: handler, Tree: treeOf(tree), LauncherType: "Nodejs",
			AddHelpers: tree != "exports" || handler == "express.js",
		},
		Env: map[string]string{"GREETING": "hello"},
	}
	if tree == "edge" {
		spec.Function.Runtime, spec.Function.LauncherType = "edge", ""
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

// start starts an instance that ends with the test.
func (s *Suite) start(t *testing.T, tree, handler string, change func(*lateen.FunctionSpec)) *function {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	instance, err := s.Engine.Start(ctx, Spec(tree, handler, change))
	if err != nil {
		t.Fatalf("start %s: %v", handler, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		instance.Stop(ctx)
	})
	return &function{instance, t}
}

func newRequestID() lateen.RequestID { return lateen.NewID[lateen.RequestID]("req_", time.Now()) }

// request returns a request in the form in which the edge passes it to an engine.
func (f *function) request(method, target string, body io.Reader) *http.Request {
	f.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		f.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(lateen.WithRequestID(f.t.Context(), newRequestID()), method, "http://example.com", body)
	if err != nil {
		f.t.Fatal(err)
	}
	req.URL, req.Host = u, "example.com"
	if _, unknown := body.(*io.PipeReader); unknown {
		req.ContentLength = -1
	}
	req.Header.Set("X-Forwarded-Host", "example.com")
	req.Header.Set("X-Forwarded-Proto", "https")
	return req
}

// answer is a complete response.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// try sends a request and reads the response.
func (f *function) try(req *http.Request) (answer, error) {
	resp, err := f.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// do sends a request that must get a response.
func (f *function) do(req *http.Request) answer {
	f.t.Helper()
	a, err := f.try(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return a
}

func (f *function) get(target string) answer {
	f.t.Helper()
	return f.do(f.request(http.MethodGet, target, nil))
}

func (f *function) post(target, contentType, body string) answer {
	f.t.Helper()
	req := f.request(http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return f.do(req)
}

// begin sends a request without waiting for the result.
func (f *function) begin(target string) <-chan result {
	f.t.Helper()
	return f.send(f.request(http.MethodGet, target, nil))
}

func (f *function) send(req *http.Request) <-chan result {
	done := make(chan result, 1)
	go func() {
		a, err := f.try(req)
		done <- result{answer: a, err: err, request: lateen.RequestIDFrom(req.Context())}
	}()
	return done
}

type result struct {
	answer  answer
	err     error
	request lateen.RequestID
}

// wait returns the result of a request that begin has sent.
func (f *function) wait(done <-chan result) result {
	f.t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(waitLimit):
		f.t.Fatal("timeout: the request is still open")
		return result{}
	}
}

// ends waits until the instance takes no more requests.
func (f *function) ends() {
	f.t.Helper()
	select {
	case <-f.Done():
	case <-time.After(waitLimit):
		f.t.Fatal("timeout: the instance is still running")
	}
}

// idles waits until no request is open.
func (f *function) idles() {
	f.t.Helper()
	f.until("the instance is idle", func() bool { return f.Busy() == 0 })
}

// until polls a condition that has no channel.
func (f *function) until(what string, holds func() bool) {
	f.t.Helper()
	timeout := time.After(waitLimit)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-timeout:
			f.t.Fatalf("timeout while waiting until %s", what)
		}
	}
}

// fails checks an error and its text.
func fails(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("error: %v, want %q that contains %q", err, want, text)
	}
}
