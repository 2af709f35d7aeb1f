package worker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// generation is a backend that answers with its name. Requests to /runs and /waits, which
// have an instance and none, last until finish is closed.
type generation struct {
	worker.Backend

	name   string
	begun  chan string
	finish chan struct{}
	polls  atomic.Int32 // requests for events with a new service
}

func (g *generation) Invoke(ctx context.Context, _ lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	path := req.URL.Path
	if path == "/runs" {
		inv.Start = lateen.StartWarm
	}
	if path != "/" {
		g.begun <- path
		select {
		case <-g.finish:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	text := g.name
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		text += " got " + string(body)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// process is a worker in this process.
type process struct {
	*generation

	drain func() // ends when the process is drained
	stop  func()
}

func startGeneration(t *testing.T, socket, name string, limit time.Duration) *process {
	t.Helper()
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	g := &generation{name: name, begun: make(chan string, 8), finish: make(chan struct{})}
	server := worker.NewServer(worker.ServerOptions{Backend: g, Listener: listener, Events: worker.NewEvents(), Drain: limit, Expose: func(...netip.AddrPort) { g.polls.Add(1) }})
	return &process{generation: g, stop: run(t, server.Run), drain: run(t, server.Drain)}
}

// result is that of an invocation.
type result struct {
	text string
	err  error
}

// begin invokes a function.
func begin(t *testing.T, c *worker.Client, method, path string) <-chan result {
	t.Helper()
	s := &stage{T: t, machine: new(machine), backend: c}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("the body")
	}
	req, ended := s.request(method, path, body), make(chan result, 1)
	go func() {
		resp, _, err := s.invokeSpec(t.Context(), lateen.FunctionSpec{Name: path}, req)
		if err != nil {
			ended <- result{err: err}
			return
		}
		text, err := io.ReadAll(resp.Body)
		ended <- result{string(text), errors.Join(err, resp.Body.Close())}
	}()
	return ended
}

func (r result) expect(t *testing.T, text string, err error) {
	t.Helper()
	if r.text != text || !errors.Is(r.err, err) {
		t.Errorf("got %q, %v; want %q, %v", r.text, r.err, text, err)
	}
}

func TestAStoppingWorkerFinishesItsInvocations(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	first := startGeneration(t, socket, "first", time.Hour)
	c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Hour})
	run(t, c.Run)
	runs, waits := begin(t, c, http.MethodGet, "/runs"), begin(t, c, http.MethodPost, "/waits")
	<-first.begun
	<-first.begun
	drained := make(chan struct{})
	go func() { first.drain(); close(drained) }()
	refused := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Nanosecond})
	until(t, "the worker takes new invocations", func() bool {
		return errors.Is((<-begin(t, refused, http.MethodGet, "/")).err, worker.ErrStopping)
	})
	later := begin(t, c, http.MethodPost, "/")
	select {
	case <-drained:
		t.Error("the worker has not waited for its invocations")
	default:
	}
	close(first.finish)
	(<-runs).expect(t, "first", nil)
	(<-waits).expect(t, "first got the body", nil)
	<-drained
	first.stop()
	startGeneration(t, socket, "second", time.Hour)
	(<-later).expect(t, "second got the body", nil)
}

func TestTheSuccessorGetsTheInvocationsThatNoInstanceGot(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	first := startGeneration(t, socket, "first", time.Nanosecond)
	c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Hour})
	run(t, c.Run)
	runs, waits := begin(t, c, http.MethodGet, "/runs"), begin(t, c, http.MethodPost, "/waits")
	<-first.begun
	<-first.begun
	first.drain()
	(<-runs).expect(t, "", worker.ErrLost)
	first.stop()
	second := startGeneration(t, socket, "second", time.Hour)
	close(second.finish)
	(<-waits).expect(t, "second got the body", nil)
}

// An idle worker refuses nothing, so only its last events announce the stop.
func TestRequestsBetweenTwoProcessesWait(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	first := startGeneration(t, socket, "first", time.Hour)
	port := uint16(0)
	c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Hour, Expose: func() []netip.AddrPort {
		port++
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), port)}
	}})
	run(t, c.Run)
	until(t, "the client does not follow the process", func() bool { return first.polls.Load() > 1 })
	first.drain()
	first.stop()
	between := begin(t, c, http.MethodPost, "/")
	startGeneration(t, socket, "second", time.Hour)
	(<-between).expect(t, "second got the body", nil)
}

func (g *generation) Provide(context.Context, *lateen.Function) error { return nil }

func TestRuntimesAreProvidedByTheSuccessor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	first := startGeneration(t, socket, "first", time.Hour)
	port := uint16(0)
	type key struct{}                 // of the value that marks the call
	refused := make(chan struct{}, 1) // holds a token after an attempt of the call
	dial := worker.Dial(socket)
	c := worker.New(worker.ClientOptions{Patience: time.Hour, Expose: func() []netip.AddrPort {
		port++
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), port)}
	}, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil && ctx.Value(key{}) != nil {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
		return conn, err
	}})
	run(t, c.Run)
	until(t, "the client does not follow the process", func() bool { return first.polls.Load() > 1 })
	first.drain()
	first.stop()
	provided := make(chan error, 1)
	go func() { provided <- c.Provide(context.WithValue(t.Context(), key{}, true), &lateen.Function{}) }()
	<-refused
	startGeneration(t, socket, "second", time.Hour)
	if err := <-provided; err != nil {
		t.Errorf("between two processes a runtime is not provided: %v", err)
	}
}

func TestRequestsDoNotWaitForASuccessorForever(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	first := startGeneration(t, socket, "first", time.Hour)
	c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Nanosecond})
	run(t, c.Run)
	first.drain()
	first.stop()
	(<-begin(t, c, http.MethodGet, "/")).expect(t, "", worker.ErrUnreachable)
}
