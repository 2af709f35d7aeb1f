package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

// peer is a client whose server is a test: serve handles one connection after the
// other.
func peer(t *testing.T, serve func(n int, conn net.Conn)) *Client {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "peer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(n, conn)
		}
	}()
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", listener.Addr().String())
	}}
}

// answering reads requests and answers each with the result of reply.
func answering(reply func(req *http.Request) string) func(int, net.Conn) {
	return func(_ int, conn net.Conn) {
		defer conn.Close()
		for r := bufio.NewReader(conn); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			text := reply(req)
			io.Copy(io.Discard, req.Body)
			io.WriteString(conn, text)
		}
	}
}

func newRequest(t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://example.com/p?q=1", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func roundTrip(t *testing.T, u *Client, req *http.Request) string {
	t.Helper()
	resp, err := u.RoundTrip(req, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// awaitIdle waits until the client has an idle connection.
func awaitIdle(t *testing.T, u *Client) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		u.mu.Lock()
		idle := len(u.idle)
		u.mu.Unlock()
		if idle > 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("no connection became idle")
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int32
	u := peer(t, func(n int, conn net.Conn) {
		connections.Add(1)
		answering(func(req *http.Request) string {
			if req.Method == http.MethodHead || req.Method == http.MethodDelete {
				return "HTTP/1.1 204 No Content\r\n\r\n"
			}
			return ok
		})(n, conn)
	})
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "PUT", "GET"} {
		var body io.Reader
		if method == "POST" || method == "PUT" {
			body = strings.NewReader(strings.Repeat("x", 100_000))
		}
		roundTrip(t, u, newRequest(t, method, body))
		awaitIdle(t, u) // the sender of a body may end a moment later
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("there were %d connections for consecutive requests", n)
	}
}

func TestUncleanConnectionsAreNotReused(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		read  bool
	}{
		"the process says it closes": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true},
		"the body is not read":       {"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200_000), false},
		"no length is given":         {"HTTP/1.0 200 OK\r\n\r\nok", true},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			u := peer(t, func(n int, conn net.Conn) {
				connections.Add(1)
				defer conn.Close()
				if n == 0 {
					http.ReadRequest(bufio.NewReader(conn))
					io.WriteString(conn, c.reply)
					return
				}
				answering(func(*http.Request) string { return ok })(n, conn)
			})
			resp, err := u.RoundTrip(newRequest(t, "GET", nil), 1)
			if err != nil {
				t.Fatal(err)
			}
			if c.read {
				io.Copy(io.Discard, resp.Body)
			}
			resp.Body.Close()
			roundTrip(t, u, newRequest(t, "GET", nil))
			if n := connections.Load(); n != 2 {
				t.Errorf("there were %d connections, want 2", n)
			}
		})
	}
}

func TestNothingIsSentTwice(t *testing.T) {
	var requests atomic.Int32
	u := peer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		for r := bufio.NewReader(conn); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if requests.Add(1) == 2 {
				return // disconnects a reused connection
			}
			io.WriteString(conn, ok)
		}
	})
	roundTrip(t, u, newRequest(t, "GET", nil))
	if resp, err := u.RoundTrip(newRequest(t, "GET", nil), 2); err == nil {
		resp.Body.Close()
		t.Error("the second request was answered")
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests arrived, want 2", n)
	}
}

func TestFieldsThatConnectionNominatesEndWithTheConnection(t *testing.T) { // RFC 9110 §7.6.1
	u := peer(t, answering(func(*http.Request) string {
		return "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-secret\r\nX-Secret: 1\r\nX-Own: 2\r\nContent-Length: 2\r\n\r\nok"
	}))
	resp, err := u.RoundTrip(newRequest(t, "GET", nil), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if diff := cmp.Diff(http.Header{"X-Own": {"2"}, "Content-Length": {"2"}}, resp.Header); diff != "" {
		t.Errorf("the header (-want +got):\n%s", diff)
	}
}

func TestAClosedIdleConnectionIsNotReused(t *testing.T) {
	closed := make(chan struct{})
	u := peer(t, func(n int, conn net.Conn) {
		if n > 0 {
			answering(func(req *http.Request) string {
				body, _ := io.ReadAll(req.Body)
				return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			})(n, conn)
			return
		}
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, ok)
		conn.Close()
		close(closed)
	})
	roundTrip(t, u, newRequest(t, "GET", nil))
	<-closed
	if got := roundTrip(t, u, newRequest(t, "POST", strings.NewReader("whole"))); got != "whole" {
		t.Errorf("the response is %q, want all of the body on a new connection", got)
	}
}

func TestARequestThatCannotBeSentKeepsItsBody(t *testing.T) {
	u := &Client{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }}
	body := &trackedBody{}
	req := newRequest(t, "POST", body)
	req.ContentLength = -1
	if _, err := u.RoundTrip(req, 2); !errors.Is(err, ErrUnsent) {
		t.Errorf("the error is %v, want ErrUnsent", err)
	}
	if body.read {
		t.Error("a part of the body was read")
	}
}

// trackedBody is a body that records whether it was read.
type trackedBody struct{ read bool }

func (s *trackedBody) Read([]byte) (int, error) {
	s.read = true
	return 0, io.EOF
}

func TestResponseHeadersAreBounded(t *testing.T) {
	for name, line := range map[string]string{"one field": "x", "fields": "A: b\r\n", "interim responses": "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			u := peer(t, func(_ int, conn net.Conn) {
				defer conn.Close()
				http.ReadRequest(bufio.NewReader(conn))
				if name != "interim responses" {
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nA: ")
				}
				for {
					if _, err := io.WriteString(conn, strings.Repeat(line, 1000)); err != nil {
						return
					}
				}
			})
			if resp, err := u.RoundTrip(newRequest(t, "GET", nil), 1); err == nil {
				resp.Body.Close()
				t.Error("the head was read to its end")
			}
		})
	}
}

func TestRequestsArriveAsTheyWereMade(t *testing.T) {
	heads := make(chan string, 1)
	u := peer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		var head strings.Builder
		for r := bufio.NewReader(conn); !strings.HasSuffix(head.String(), "\r\n\r\n"); {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
		}
		heads <- head.String()
		io.WriteString(conn, ok)
	})
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"plain", func(*http.Request) {}, "GET /p?q=1 HTTP/1.1\r\nHost: example.com\r\n"},
		{"one header", func(r *http.Request) { r.Header.Set("Accept", "a") }, "GET /p?q=1 HTTP/1.1\r\nHost: example.com\r\nAccept: a\r\n"},
		{"of the connection", func(r *http.Request) {
			r.Header = http.Header{"Connection": {"x"}, "Keep-Alive": {"x"}, "Te": {"x"}, "Upgrade": {"h2c"}, "Expect": {"100-continue"}, "Content-Length": {"9"}}
		}, "GET /p?q=1 HTTP/1.1\r\nHost: example.com\r\n"},
		{"forged", func(r *http.Request) {
			r.Header = http.Header{"X-Vercel-Internal-Request-Id": {"9"}, "x-vercel-internal-x": {"9"}, "A": {"x\r\nB: y"}, "A b": {"x"}}
		}, "GET /p?q=1 HTTP/1.1\r\nHost: example.com\r\n"},
		{"an upgrade", func(r *http.Request) { r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}} }, "GET /p?q=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"},
		{"bytes that are not ASCII", func(r *http.Request) { r.URL.RawQuery = "q=é" }, "GET /p?q=%C3%A9 HTTP/1.1\r\nHost: example.com\r\n"},
		{"an empty POST", func(r *http.Request) { r.Method = "POST" }, "POST /p?q=1 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n"},
		{"a POST", func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("ab")), 2
		}, "POST /p?q=1 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n"},
		{"of unknown length", func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("ab")), -1
		}, "POST /p?q=1 HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := newRequest(t, "GET", nil)
			c.change(req)
			req = req.WithContext(lateen.WithRequestID(t.Context(), "req_1"))
			resp, err := u.RoundTrip(req, 7)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := c.want + "x-vercel-internal-invocation-id: req_1\r\nx-vercel-internal-request-id: 7\r\n\r\n"
			if diff := cmp.Diff(want, <-heads); diff != "" {
				t.Errorf("the head (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInterimResponsesAreSkipped(t *testing.T) {
	u := peer(t, answering(func(*http.Request) string {
		return "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok
	}))
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})
	if got := roundTrip(t, u, newRequest(t, "GET", nil).WithContext(ctx)); got != "ok" {
		t.Errorf("got %q", got)
	}
}

func TestAResponseBeforeTheEndOfTheBodyIsRead(t *testing.T) {
	u := peer(t, func(_ int, conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		conn.Close() // most of the body is unread
	})
	req := newRequest(t, "POST", endless{})
	req.ContentLength = -1
	resp, err := u.RoundTrip(req, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %s", resp.Status)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestABrokenBodyBreaksTheRequest(t *testing.T) {
	lost := errors.New("lost")
	for name, body := range map[string]io.Reader{
		"by an error": io.MultiReader(strings.NewReader("some"), failing{lost}),
		"by its end":  strings.NewReader("some"),
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			u := peer(t, func(_ int, conn net.Conn) {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, err = io.ReadAll(req.Body)
				}
				ended <- err
			})
			req := newRequest(t, "POST", body)
			req.ContentLength = 100
			_, err := u.RoundTrip(req, 1)
			var broken *BodyError
			if !errors.As(err, &broken) || name == "by an error" && !errors.Is(err, lost) {
				t.Errorf("the error is %v", err)
			}
			if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the process reads: %v, want a body cut short", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestEndOfTheContextBreaksTheConnection(t *testing.T) {
	hungUp := make(chan error, 1)
	u := peer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		http.ReadRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
		_, err := r.ReadByte()
		hungUp <- err
	})
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := u.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.ReadFull(resp.Body, make([]byte, 5))
	cancel()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading on: %v", err)
	}
	if err := <-hungUp; err == nil {
		t.Error("the process did not notice")
	}
}

func TestMalformedResponsesAreErrors(t *testing.T) {
	for _, reply := range []string{"", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 100)} {
		t.Run(fmt.Sprintf("%.20q", reply), func(t *testing.T) {
			u := peer(t, func(_ int, conn net.Conn) {
				http.ReadRequest(bufio.NewReader(conn))
				io.WriteString(conn, reply)
				conn.Close()
			})
			if resp, err := u.RoundTrip(newRequest(t, "GET", nil), 1); err == nil {
				resp.Body.Close()
				t.Error("the response was accepted")
			}
		})
	}
}
