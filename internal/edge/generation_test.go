package edge

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// slowStage returns a stage with a function and one request in flight, until release is
// called. Then got receives the response, and whether it is the last one of its
// connection.
func slowStage(t *testing.T) (s *stage, release func(), got chan string) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s = functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "slow" {
			entered <- struct{}{}
			<-leave
		}
		io.WriteString(w, "done")
	}).open()
	got = make(chan string, 1)
	go func() {
		resp, err := s.client.Do(s.request("GET", "/fn?slow", nil))
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		said := string(body)
		if err != nil {
			said += ", " + err.Error()
		}
		if resp.Close {
			said += ", the last"
		}
		got <- said
	}()
	<-entered
	return s, func() { close(leave) }, got
}

func TestNewConnectionsAreServedWhileOldOnesEnd(t *testing.T) {
	s, release, got := slowStage(t)
	renewed := make(chan struct{})
	go func() { s.edge.Renew(t.Context()); close(renewed) }()
	for newcomers := 0; newcomers < 3; {
		resp, body := s.get("/fn")
		is(t, resp, 200, "")
		if body != "done" {
			t.Fatalf("got %q", body)
		}
		if resp.Close { // the request arrived after Renew began
			newcomers++
		}
	}
	select {
	case <-renewed:
		t.Error("Renew returned with a request of an older connection in flight")
	default:
	}
	release()
	if body := <-got; body != "done, the last" {
		t.Errorf("got %q, want the complete and last response of its connection", body)
	}
	<-renewed
	if resp, _ := s.get("/fn"); !resp.Close {
		t.Error("a response after Renew did not close its connection")
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestRenewEndsAnIdleConnectionWithItsNextResponse(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "done") })
			s.options.Linger = time.Hour // longer than the client takes to leave
			s.open()
			client := s.client
			if version == "HTTP/2.0" {
				client = s.h2
			}
			ask := func() {
				t.Helper()
				resp, body := s.send(client, s.request("GET", "/fn", nil))
				if resp.StatusCode != 200 || body != "done" || resp.Proto != version {
					t.Fatalf("got %s %d %q", resp.Proto, resp.StatusCode, body)
				}
			}
			ask()
			renewed := make(chan struct{})
			go func() { s.edge.Renew(t.Context()); close(renewed) }()
			for !s.edge.server.Ends() {
				<-time.After(time.Millisecond)
			}
			ask() // on the open connection, which ends after this response
			select {
			case <-renewed:
			case <-time.After(waitLimit):
				t.Error("the connection is still open")
			}
			ask()
		})
	}
}

func TestARequestThatOutlivesTheGraceOfRenewIsCutOff(t *testing.T) {
	entered := make(chan struct{})
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	s.options.Grace, s.options.Linger = 50*time.Millisecond, time.Millisecond
	s.open()
	failed := make(chan error, 1)
	go func() {
		resp, err := s.client.Do(s.request("GET", "/fn", nil))
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-entered
	s.edge.Renew(t.Context())
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestACanceledRenewLeavesOldConnectionsToRun(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		io.WriteString(w, "done")
	})
	s.options.Linger, s.options.Pause = time.Millisecond, time.Nanosecond
	s.open()
	got := make(chan string, 1)
	go func() {
		_, body := s.get("/fn")
		got <- body
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.edge.Renew(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	<-s.edge.server.Draining()
	close(release)
	if body := <-got; body != "done" {
		t.Errorf("got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Run must begin to end while no request is in progress: a request that calls the
// platform itself would wait for itself.
func TestRenewReturnsAtAMomentWithoutRequests(t *testing.T) {
	entered := make(chan struct{})
	release := map[string]chan struct{}{"old": make(chan struct{}), "new": make(chan struct{})}
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release[r.URL.RawQuery]
		io.WriteString(w, "done")
	})
	s.options.Linger = time.Hour
	s.open()
	var asked sync.WaitGroup
	ask := func(which string) {
		asked.Go(func() {
			if _, body := s.get("/fn?" + which); body != "done" {
				t.Errorf("%s: got %q", which, body)
			}
		})
		<-entered
	}
	ask("old")
	renewed := make(chan struct{})
	go func() { s.edge.Renew(t.Context()); close(renewed) }()
	for !s.edge.server.Renewing() { // wait until the old connections belong to the older generation
		<-time.After(time.Millisecond)
	}
	ask("new")
	close(release["old"])
	select {
	case <-renewed:
		t.Error("Renew returned while a request was in progress")
	case <-time.After(200 * time.Millisecond):
	}
	close(release["new"])
	<-renewed
	asked.Wait()
}

// The edge does not wait long for a connection without a request.
func TestASilentConnectionDoesNotDelayTheEnd(t *testing.T) {
	var log bytes.Buffer
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "done") })
	s.options.Pause, s.options.Log = 4*time.Second, slog.New(slog.NewTextHandler(&log, nil)) // net/http itself waits for 5 seconds
	s.open()
	s.edge.Renew(t.Context())
	silent := s.dial()
	s.get("/fn") // accepted after the silent connection
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "cut off") {
		t.Error(log.String())
	}
	if n, err := silent.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the connection is still open")
	}
}

// Several edges serve the same socket one after the other while clients send requests.
func TestNoRequestIsLostBetweenTwoEdges(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(3 * time.Millisecond)
		io.WriteString(w, "done")
	})
	first, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held, err := first.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	var answered atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := askOnce(t.Context(), first.Addr().String()); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	listener := first
	for turn := range 6 {
		options := s.options
		options.Plain = []net.Listener{listener}
		e := New(options)
		e.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}})
		running, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(running) }()
		for before := answered.Load(); answered.Load() < before+20 && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
		if turn%2 == 0 {
			e.Renew(t.Context())
		}
		if listener, err = net.FileListener(held); err != nil {
			t.Fatal(err)
		}
		if turn == 5 {
			cancel()
			clients.Wait()
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	listener.Close()
	t.Logf("%d requests were answered", answered.Load())
}

// askOnce sends a request on a connection of its own. An ending edge may drop the
// request if it arrives later than idle connections stay open.
func askOnce(ctx context.Context, address string) error {
	began := time.Now()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /fn HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	late := time.Since(began) > 125*time.Millisecond // half of the time that the server leaves idle connections open
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if late && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != "done" {
		err = fmt.Errorf("%d %q", resp.StatusCode, body)
	}
	return err
}
