package worker_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// stage is one case on one form.
type stage struct {
	*testing.T

	machine *machine
	backend worker.Backend
}

// request returns a request for a path of the functions in functions.js.
func (s *stage) request(method, target string, body io.Reader) *http.Request {
	s.Helper()
	u, err := url.Parse(target)
	if err != nil {
		s.Fatal(err)
	}
	req := &http.Request{Method: method, URL: u, Host: "app.example.com", Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), -1
	}
	return req
}

// invoke invokes the function of functions.js.
func (s *stage) invoke(ctx context.Context, req *http.Request) (*http.Response, *lateen.Invocation, error) {
	return s.invokeSpec(ctx, s.machine.spec(req.URL.Path), req)
}

func (s *stage) invokeSpec(ctx context.Context, spec lateen.FunctionSpec, req *http.Request) (*http.Response, *lateen.Invocation, error) {
	inv := new(lateen.Invocation)
	if lateen.RequestIDFrom(ctx) == "" {
		ctx = lateen.WithRequestID(ctx, lateen.NewID[lateen.RequestID]("req_", time.Now()))
	}
	resp, err := s.backend.Invoke(ctx, spec, req.WithContext(ctx), inv)
	return resp, inv, err
}

// do invokes the function and reads the whole response.
func (s *stage) do(req *http.Request) (*http.Response, string, *lateen.Invocation) {
	s.Helper()
	resp, inv, err := s.invoke(s.Context(), req)
	if err != nil {
		s.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(text), inv
}

func (s *stage) read(r io.Reader, want string) {
	s.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		s.Fatalf("read %q (%v), want %q", got, err, want)
	}
}

func (s *stage) upgrade(to string) *http.Request {
	req := s.request(http.MethodGet, "/switch", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", to)
	return req
}
