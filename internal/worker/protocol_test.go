package worker_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// serveForeign runs a worker of another protocol. One without version is from before the
// protocol had numbers.
func serveForeign(t *testing.T, socket, version string) (invoked *atomic.Bool, stop func()) {
	t.Helper()
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	invoked = new(atomic.Bool)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if version != "" {
			w.Header().Set("Lateen-Protocol", "99")
			w.Header().Set("Lateen-Version", version)
		}
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			t.Errorf("the client asks for %s", r.URL.Path)
		}
		if strings.HasSuffix(r.URL.Path, "/invoke") {
			invoked.Store(true)
		}
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	stop = func() {
		_ = server.Shutdown(t.Context()) // which sends the responses; after the test it ends at once
		server.Close()
	}
	t.Cleanup(stop)
	return invoked, stop
}

func TestAWorkerOfAnotherProtocolIsNamed(t *testing.T) {
	for version, want := range map[string][]string{"": {"version unknown with protocol unknown", "version 1.0.0"}, "9.9.9": {"version 9.9.9 with protocol 99", "version 1.0.0"}} {
		socket := filepath.Join(t.TempDir(), "w")
		serveForeign(t, socket, version)
		var log bytes.Buffer
		c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Nanosecond, Version: "1.0.0", Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			_, err := c.Invoke(t.Context(), lateen.FunctionSpec{}, (&stage{T: t}).request(http.MethodPost, "/", strings.NewReader("body")), new(lateen.Invocation))
			if !errors.Is(err, worker.ErrIncompatible) {
				t.Fatalf("the error is %v", err)
			}
			for _, part := range want {
				if !strings.Contains(err.Error(), part) || !strings.Contains(log.String(), part) {
					t.Errorf("%q is missing in the error %v or in the log %s", part, err, &log)
				}
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("the log has %d lines", n)
		}
	}
}

func TestRequestsWaitForAWorkerOfTheSameProtocol(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	invoked, stop := serveForeign(t, socket, "")
	c := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Patience: time.Hour})
	run(t, c.Run)
	waits := begin(t, c, http.MethodPost, "/")
	until(t, "the request does not arrive", func() bool { return invoked.Load() })
	stop()
	startGeneration(t, socket, "second", time.Hour)
	(<-waits).expect(t, "second got the body", nil)
}

func TestAServerRefusesClientsOfAnotherProtocol(t *testing.T) {
	listener, err := worker.Listen(t.Context(), filepath.Join(t.TempDir(), "w"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // complete when the server has ended
	stop := run(t, worker.NewServer(worker.ServerOptions{Backend: panicking{}, Listener: listener, Events: worker.NewEvents(), Version: "1.0.0", Log: slog.New(slog.NewTextHandler(&log, nil))}).Run)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", listener.Addr().String()) }}
	defer transport.CloseIdleConnections()
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://worker/v1/provide", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "version unknown with protocol 1, and the worker version 1.0.0") {
			t.Errorf("the response is %s %s (%v)", resp.Status, text, err)
		}
	}
	transport.CloseIdleConnections()
	stop()
	if n := strings.Count(log.String(), "version unknown with protocol 1"); n != 1 {
		t.Errorf("the log is %s", &log)
	}
}
