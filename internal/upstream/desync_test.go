package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen"
)

// numbered answers each request on a connection with the number of the connection,
// up to limit requests.
func numbered(limit func(n int) int) func(int, net.Conn) {
	return func(n int, conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for range limit(n) {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
		}
	}
}

// RFC 6455 §4.1 requires GET. A server that switches the protocol reads the bytes
// after the head as that protocol, or as the next request.
func TestOnlyAGetWithoutABodyUpgrades(t *testing.T) {
	for _, c := range []struct {
		method, body string
		upgrade      bool
		framing      string
	}{
		{"GET", "", true, ""},
		{"GET", "x", false, "Content-Length: 1"},
		{"POST", "", false, "Content-Length: 0"},
		{"POST", "x", false, "Content-Length: 1"},
		{"HEAD", "", false, ""},
		{"OPTIONS", "", false, ""},
	} {
		t.Run(c.method+c.body, func(t *testing.T) {
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
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			req := newRequest(t, c.method, body)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "websocket")
			roundTrip(t, u, req)
			head := <-heads
			if got := strings.Contains(head, "\r\nUpgrade: websocket\r\n") && strings.Contains(head, "\r\nConnection: Upgrade\r\n"); got != c.upgrade {
				t.Errorf("the request upgrades: %v\n%s", got, head)
			}
			if strings.Contains(head, "pgrade") && !c.upgrade {
				t.Errorf("the request has a field of an upgrade\n%s", head)
			}
			if c.framing != "" && !strings.Contains(head, "\r\n"+c.framing+"\r\n") {
				t.Errorf("the framing is not %s\n%s", c.framing, head)
			}
		})
	}
}

// The process may see the end of these responses at another byte than HTTP defines.
func TestAnAmbiguousResponseIsTheLastOfItsConnection(t *testing.T) {
	for name, c := range map[string]struct {
		method, reply string
		upgrade       bool
		foreign       bool
		want          int32 // connections for this request and one more
	}{
		"an upgrade that was not accepted":      {"GET", ok, true, false, 2},
		"a body with 204":                       {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", false, false, 2},
		"chunks with 204":                       {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false, false, 2},
		"a length with 304":                     {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", false, false, 2},
		"HEAD of a program":                     {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, true, 2},
		"HEAD of an agent":                      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, false, 1},
		"204 without a length":                  {"GET", "HTTP/1.1 204 No Content\r\n\r\n", false, true, 1},
		"304 without a length":                  {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n", false, true, 1},
		"bytes behind a response, in one write": {"GET", ok + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", false, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var connections, requests atomic.Int32
			u := peer(t, func(n int, conn net.Conn) {
				connections.Add(1)
				answering(func(*http.Request) string {
					if requests.Add(1) > 1 {
						return ok
					}
					return c.reply
				})(n, conn)
			})
			u.Foreign = c.foreign
			req := newRequest(t, c.method, nil)
			if c.upgrade {
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "websocket")
			}
			roundTrip(t, u, req)
			if got := roundTrip(t, u, newRequest(t, "GET", nil)); got != "ok" {
				t.Errorf("the next response is %q", got)
			}
			if n := connections.Load(); n != c.want {
				t.Errorf("there were %d connections, want %d", n, c.want)
			}
		})
	}
}

// The bytes arrive while the connection is idle, and the next request would read
// them as its response.
func TestUnexpectedBytesEndAnIdleConnection(t *testing.T) {
	forge, forged := make(chan struct{}), make(chan struct{})
	u := peer(t, func(n int, conn net.Conn) {
		if n == 0 {
			go func() {
				<-forge
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
				close(forged)
			}()
		}
		numbered(func(int) int { return 100 })(n, conn)
	})
	if got := roundTrip(t, u, newRequest(t, "GET", nil)); got != "0" {
		t.Fatalf("the first response is %q", got)
	}
	awaitIdle(t, u)
	close(forge)
	<-forged
	if got := roundTrip(t, u, newRequest(t, "GET", nil)); got != "1" {
		t.Errorf("the response is %q, want that of a new connection", got)
	}
}

// Python's http.server leaves the body of a POST to its handler. After a handler
// that does not read it, the server reads the body as the next request. Its response
// may arrive when the request of another client is on the connection.
func TestAnUnreadBodyIsNotTheNextRequest(t *testing.T) {
	u := peer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		for r := bufio.NewReader(conn); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/smuggled" {
				_, _ = r.Peek(1) // until a request arrives, or the connection ends
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
			req.Body = nil // leaves the body unread
		}
	})
	u.Foreign = true
	if got := roundTrip(t, u, newRequest(t, "POST", strings.NewReader("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"))); got != "/p" {
		t.Fatalf("the response to POST is %q", got)
	}
	if got := roundTrip(t, u, newRequest(t, "GET", nil)); got != "/p" {
		t.Errorf("the next client's response is %q", got)
	}
}

func TestAnUnrequestedProtocolSwitchIsAnError(t *testing.T) {
	u := peer(t, answering(func(*http.Request) string {
		return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	}))
	if resp, err := u.RoundTrip(newRequest(t, "GET", nil), 1); !errors.Is(err, errSwitched) {
		if err == nil {
			resp.Body.Close()
		}
		t.Errorf("the error is %v", err)
	}
}

// No part of the request reaches the process.
func TestARequestThatHTTPCannotExpressIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"a method that tunnels": func(r *http.Request) { r.Method = "CONNECT" },
		"a method of two lines": func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"no method":             func(r *http.Request) { r.Method = "" },
		"a host of two lines":   func(r *http.Request) { r.Host = "a\r\nX: y" },
		"a query with a space":  func(r *http.Request) { r.URL.RawQuery = "a b" },
	} {
		t.Run(name, func(t *testing.T) {
			u := peer(t, func(_ int, conn net.Conn) {
				defer conn.Close()
				if b, _ := io.ReadAll(conn); len(b) > 0 {
					t.Errorf("the process got %q", b)
				}
			})
			req := newRequest(t, "GET", nil)
			spoil(req)
			if resp, err := u.RoundTrip(req, 1); !errors.Is(err, lateen.ErrInvalid) {
				if err == nil {
					resp.Body.Close()
				}
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// RFC 9112 §9.3.1: a client repeats an idempotent request if a reused connection
// ends without a response.
func TestAForeignServerMayCloseIdleConnections(t *testing.T) {
	for name, c := range map[string]struct {
		method, body string
		foreign      bool
		answered     bool
	}{
		"GET":             {"GET", "", true, true},
		"DELETE":          {"DELETE", "", true, true},
		"POST":            {"POST", "", true, false},
		"PUT with a body": {"PUT", "x", true, false},
		"GET of an agent": {"GET", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := peer(t, func(n int, conn net.Conn) {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for i := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if n == 0 && i == 1 {
						return // like a server whose idle timeout passes at this moment
					}
					io.WriteString(conn, ok)
				}
			})
			var ends atomic.Int32
			if u.Foreign = c.foreign; c.foreign {
				u.Ended = func(uint64, bool) { ends.Add(1) }
			}
			roundTrip(t, u, newRequest(t, "GET", nil))
			awaitIdle(t, u)
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			resp, err := u.RoundTrip(newRequest(t, c.method, body), 2)
			if (err == nil) != c.answered {
				t.Errorf("the error is %v", err)
			}
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if n := ends.Load(); c.foreign && c.body == "" && n != 2 {
				t.Errorf("%d requests have ended, want 2", n)
			}
		})
	}
}
