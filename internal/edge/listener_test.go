package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// dial opens a raw connection to the stage.
func (s *stage) dial() net.Conn {
	s.t.Helper()
	c, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(waitLimit)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// drip writes text byte by byte with a pause between.
func drip(c io.Writer, text string, pause time.Duration) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// moving calls try, which the edge cuts off if it makes no progress for limit. It
// repeats a failed try if the whole process was stopped for half of limit meanwhile,
// which happens on a busy machine.
func moving(limit time.Duration, try func() error) error {
	for {
		end, longest := make(chan struct{}), make(chan time.Duration)
		go func() {
			tick := time.NewTicker(limit / 50)
			defer tick.Stop()
			most := time.Duration(0)
			for last, going := time.Now(), true; going; {
				select {
				case <-tick.C:
				case <-end:
					going = false
				}
				now := time.Now()
				most, last = max(most, now.Sub(last)), now
			}
			longest <- most
		}()
		err := try()
		close(end)
		if most := <-longest; err == nil || most < limit/2 {
			return err
		}
	}
}

// ends reads the rest of a connection, and reports whether the edge has closed it.
func ends(c io.Reader) bool {
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestAClientThatNeverFinishesItsHeaderIsCutOff(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.options.HeaderTimeout = 200 * time.Millisecond
	s.open()
	if err := drip(s.dial(), "GET / HTTP/1.1\r\nHost: app.localhost\r\nX-Slow: "+strings.Repeat("x", 10_000), 20*time.Millisecond); err == nil {
		t.Error("the client was not cut off")
	}
}

func TestAHeaderThatIsTooLargeIsRefused(t *testing.T) {
	s := newStage(t)
	s.options.MaxHeaderBytes = 8 << 10
	s.open()
	resp, _ := s.get("/", "X-Large: "+strings.Repeat("x", 32<<10))
	is(t, resp, 431, "")
}

func TestAnUploadThatStallsIsCutOffAndOneThatMovesIsNot(t *testing.T) {
	t.Parallel()
	const stall = time.Second
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	s.options.StallTimeout = stall
	s.open()
	const head = "POST /fn HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 30\r\n\r\n"
	t.Run("moving", func(t *testing.T) {
		if err := moving(stall, func() error {
			c := s.dial()
			io.WriteString(c, head)
			if err := drip(c, strings.Repeat("x", 30), stall/20); err != nil { // takes longer than the timeout in total
				return err
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return err
			}
			if body, _ := io.ReadAll(resp.Body); string(body) != "30 <nil>" {
				return fmt.Errorf("the function read %s", body)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	t.Run("stalled", func(t *testing.T) {
		c := s.dial()
		io.WriteString(c, head+"only this")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		is(t, resp, 408, "REQUEST_TIMEOUT")
		if !ends(c) {
			t.Error("the connection is still open")
		}
	})
	t.Run("stalled without a reader", func(t *testing.T) {
		c := s.dial()
		io.WriteString(c, strings.Replace(head, "/fn", "/nothing", 1)) // the edge answers without reading the body
		if !ends(c) {
			t.Error("the connection is still open")
		}
	})
}

func TestAFunctionThatReadsSlowlyIsNotCutOff(t *testing.T) {
	t.Parallel()
	const stall = 2 * time.Second
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 1)
		io.ReadFull(r.Body, first)
		<-time.After(2 * stall)
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n+1, err)
	})
	s.options.StallTimeout = stall
	s.open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		if err := moving(stall, func() error {
			_, body := s.send(client, s.request("POST", "/fn", strings.NewReader(strings.Repeat("x", 20<<20))))
			if body != "20971520 <nil>" {
				return fmt.Errorf("the function read %s", body)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnUnreadBodyIsNeverReadAsARequest(t *testing.T) {
	t.Parallel()
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no need to read") })
	s.file("/f.txt", "text/plain", "hello")
	s.options.API = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s.open()
	for _, url := range []string{"app.localhost/f.txt", "app.localhost/fn", "localhost/"} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			host, path, _ := strings.Cut(url, "/")
			c := s.dial()
			fmt.Fprintf(c, "POST /%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", path, host)
			in := bufio.NewReader(c)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			if !resp.Close {
				t.Error("the response does not close its connection")
			}
			<-time.After(drainTimeout + 100*time.Millisecond)
			fmt.Fprint(c, "GET /f.txt HTTP/1.1\r\nHost: app.localhost\r\n\r\n") // part of the announced body
			if resp, err := http.ReadResponse(in, nil); err == nil {
				t.Errorf("the body was read as a request and answered with %s", resp.Status)
			}
			if !ends(c) {
				t.Error("the connection is still open")
			}
		})
	}
}

func TestAReaderThatStallsIsCutOffAndAStreamThatPausesIsNot(t *testing.T) {
	t.Parallel()
	const stall = 500 * time.Millisecond
	paused := make(chan struct{})
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("pause") {
			io.WriteString(w, "before ")
			http.NewResponseController(w).Flush()
			<-paused
			io.WriteString(w, "after")
			return
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	s.blobFile("/big.bin", 64<<20)
	s.options.StallTimeout = stall
	s.open()
	for _, path := range []string{"/fn", "/big.bin"} {
		c := s.dial()
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: app.localhost\r\n\r\n", path) // the client reads nothing
	}
	for n := range 2 {
		if r := s.record(n); r.BytesOut >= 64<<20 {
			t.Errorf("%s: %d bytes were sent", r.Path, r.BytesOut)
		}
	}
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		resp, err := client.Do(s.request("GET", "/fn?pause", nil))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2*stall, func() { paused <- struct{}{} })
		if body, err := io.ReadAll(resp.Body); string(body) != "before after" {
			t.Errorf("%s: got %q, %v", name, body, err)
		}
		resp.Body.Close()
	}
}

func TestAConnectionIsReusedAfterItsDeadlines(t *testing.T) {
	t.Parallel()
	const stall = 100 * time.Millisecond
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	s.options.StallTimeout = stall
	s.open()
	if err := moving(stall, func() error {
		c := s.dial()
		in := bufio.NewReader(c)
		for range 3 {
			fmt.Fprintf(c, "POST /fn HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 2\r\n\r\nhi")
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				return err
			}
			if body, err := io.ReadAll(resp.Body); string(body) != "hi" {
				return fmt.Errorf("got %q, %w", body, err)
			}
			<-time.After(3 * stall)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.file("/f.txt", "text/plain", "hello")
	s.options.MaxConnections = 2
	s.open()
	ask := func(c net.Conn) error {
		fmt.Fprintf(c, "GET /f.txt HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err
	}
	first, second := s.dial(), s.dial()
	for _, c := range []net.Conn{first, second} {
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		s.awaitIdle()
	}
	if err := ask(s.dial()); err != nil {
		t.Errorf("a third connection did not take the slot of an idle one: %v", err)
	}
	if err := ask(first); err == nil {
		t.Error("the connection that has been idle longest is still open")
	}
	if err := ask(second); err != nil {
		t.Errorf("the connection with the latest request was closed: %v", err)
	}
}

// awaitIdle waits until the edge has noted the end of every request, which is later than the
// client's end of the response.
func (s *stage) awaitIdle() {
	s.t.Helper()
	for limit := time.After(waitLimit); !s.edge.server.Resting(); {
		select {
		case <-limit:
			s.t.Fatal("a connection is not idle")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestOneClientCannotTakeAllConnections(t *testing.T) {
	for name, proxies := range map[string][]netip.Prefix{"a client": nil, "a trusted proxy": {netip.MustParsePrefix("127.0.0.1/32")}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.file("/f.txt", "text/plain", "hello")
			s.options.MaxPerClient, s.options.TrustedProxies = 2, proxies
			s.open()
			ask := func(c net.Conn) error {
				fmt.Fprint(c, "GET /f.txt HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				return err
			}
			first, second := s.dial(), s.dial()
			if err := errors.Join(ask(first), ask(second)); err != nil {
				t.Fatal(err)
			}
			if err := ask(s.dial()); (err == nil) != (proxies != nil) {
				t.Errorf("the third connection: %v", err)
			}
			if err := ask(first); err != nil {
				t.Errorf("the first connection, after the third: %v", err)
			}
			second.Close()
			for deadline := time.Now().Add(waitLimit); ask(s.dial()) != nil; {
				if time.Now().After(deadline) {
					t.Fatal("a closed connection still counts")
				}
			}
		})
	}
}

func TestRequestsInFlightFinishWhenTheEdgeEnds(t *testing.T) {
	s, release, got := slowStage(t)
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	<-s.edge.server.Draining()
	select {
	case err := <-ended:
		t.Fatalf("Run returned with a request in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if body := <-got; !strings.HasPrefix(body, "done") {
		t.Errorf("got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address); err == nil {
		c.Close()
		t.Error("a connection was accepted after the end")
	}
}

func TestARequestThatOutlivesTheGraceIsCutOff(t *testing.T) {
	entered := make(chan struct{})
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	s.options.Grace = 50 * time.Millisecond
	s.open()
	go func() {
		resp, err := s.client.Do(s.request("GET", "/fn", nil))
		if err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if r := s.record(0); r.Status != 499 {
		t.Errorf("recorded: %d", r.Status)
	}
}

func TestHTTPOverTLS(t *testing.T) {
	a, pool := newAuthority(t)
	cert, err := a.For("app.localhost")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	s.file("/f.txt", "text/plain", "hello")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.options.Secure, s.options.TLS = []net.Listener{l}, &tls.Config{Certificates: []tls.Certificate{*cert}}
	s.open()
	transport := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		},
	}
	defer transport.CloseIdleConnections()
	req := s.request("GET", "/f.txt", nil)
	req.URL.Scheme = "https"
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", resp.Proto)
	}
	has(t, resp.Header, "Strict-Transport-Security", "max-age=63072000")
}

func TestAClientThatSendsItsWholeBodyReadsTheRefusal(t *testing.T) { // RFC 9112 §9.6
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {})
	s.options.MaxBody = 1 << 20
	s.open()
	body := make([]byte, 12<<20) // more than the buffers of a connection
	for name, head := range map[string]string{
		"sized":        fmt.Sprintf("POST /fn HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n", len(body)),
		"no such page": fmt.Sprintf("POST /gone HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n", len(body)),
	} {
		c := s.dial()
		if _, err := c.Write(append([]byte(head), body...)); err != nil {
			t.Errorf("%s: the connection ended while the body was sent: %v", name, err)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || len(text) == 0 || resp.StatusCode < 400 || !resp.Close {
			t.Errorf("%s: %d %v %q %v", name, resp.StatusCode, resp.Header, text, err)
		}
	}
}

func TestARefusalDoesNotWaitForABodyAfterExpectContinue(t *testing.T) { // RFC 9110 §10.1.1
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {})
	s.options.MaxBody = 1 << 20
	s.open()
	c := s.dial()
	fmt.Fprintf(c, "POST /fn HTTP/1.1\r\nHost: app.localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", 5<<20)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatal(resp, err)
	}
	s.record(0) // waits for the end of the request
	if got := s.record(0).BytesIn; got != 0 {
		t.Errorf("%d bytes of the body arrived", got)
	}
}

// notices is a log handler that passes warnings on.
type notices struct {
	slog.Handler

	said chan string
}

// Enabled implements [slog.Handler].
func (n notices) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (n notices) Handle(_ context.Context, r slog.Record) error {
	n.said <- r.Message
	return nil
}

// While all connections have requests in progress, a new one waits for the end of a
// request and not of a connection, which its client may leave open for long.
func TestANewConnectionTakesTheSlotOfOneThatBecomesIdle(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})
	s.file("/f.txt", "text/plain", "hello")
	log := notices{slog.DiscardHandler, make(chan string, 10)}
	s.options.MaxConnections, s.options.IdleTimeout, s.options.Log = 1, time.Hour, slog.New(log)
	s.open()
	first := s.dial()
	fmt.Fprint(first, "GET /fn HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
	<-begun
	second := s.dial()
	<-log.said // the warning about the limit
	close(end)
	if resp, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("the first connection: %v", err)
	}
	fmt.Fprint(second, "GET /f.txt HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the second connection: %v", err)
	}
}
