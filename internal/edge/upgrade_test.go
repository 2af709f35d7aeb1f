package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// talk upgrades a connection to the stage to a line protocol.
func talk(t *testing.T, s *stage) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := s.dial()
	// The client sends the first line of the new protocol together with the request.
	fmt.Fprint(c, "GET /fn HTTP/1.1\r\nHost: app.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly\n")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, resp, 101, "")
	has(t, resp.Header, "Upgrade", "websocket")
	has(t, resp.Header, "X-Own", "1")
	return c, in
}

// lines switches to a protocol that echoes lines.
func lines(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
		http.Error(w, "not asked", http.StatusBadRequest)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n")
	rw.Flush()
	in := bufio.NewScanner(rw)
	for in.Scan() && in.Text() != "bye" {
		fmt.Fprintf(rw, "echo %s\n", in.Text())
		rw.Flush()
	}
}

func TestAnUpgradedConnectionPassesThrough(t *testing.T) {
	s := functionStage(t, lines)
	s.options.StallTimeout = 100 * time.Millisecond // the stall timeout applies to HTTP only
	s.open()
	c, in := talk(t, s)
	for i, word := range []string{"early", "one", "two"} {
		if i > 0 {
			<-time.After(150 * time.Millisecond)
			fmt.Fprintln(c, word)
		}
		if got, err := in.ReadString('\n'); got != "echo "+word+"\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	fmt.Fprintln(c, "bye")
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	if r := s.record(0); r.Status != 101 || r.BytesIn != int64(len("early\none\ntwo\nbye\n")) || r.BytesOut != int64(len("echo early\necho one\necho two\n")) {
		t.Errorf("recorded: %d, %d bytes in, %d out", r.Status, r.BytesIn, r.BytesOut)
	}
}

func TestAnUpgradedConnectionEndsWithTheEdge(t *testing.T) {
	s := functionStage(t, lines).open()
	_, in := talk(t, s)
	in.ReadString('\n')
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadString('\n'); err == nil {
		t.Error("the connection is still open")
	}
}

func TestAnUpgradedConnectionEndsAtMaxDuration(t *testing.T) {
	s := functionStage(t, lines)
	fleet := s.options.Fleet
	over := make(chan struct{})
	s.options.Fleet = invoker(func(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
		resp, err := fleet.Invoke(ctx, spec, req, inv)
		if err == nil {
			body := resp.Body
			go func() { <-over; body.Close() }() // as the engine does at maxDuration
		}
		return resp, err
	})
	s.open()
	c, in := talk(t, s)
	if got, err := in.ReadString('\n'); got != "echo early\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	close(over)
	c.SetReadDeadline(time.Now().Add(waitLimit))
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("after maxDuration: %q, %v", rest, err)
	}
}

func TestAFunctionCannotSwitchProtocolsWithoutAnUpgradeRequest(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
	}).open()
	resp, _ := s.get("/fn")
	is(t, resp, 502, "NO_RESPONSE_FROM_FUNCTION")
	resp, body := s.send(s.h2, s.request("GET", "/fn", nil))
	is(t, resp, 502, "NO_RESPONSE_FROM_FUNCTION")
	if strings.Contains(body, "websocket") {
		t.Errorf("got %q", body)
	}
}

func TestOnlyWebSocketsAreUpgrades(t *testing.T) {
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
			t.Errorf("the function was called with %v", r.Header)
		}
	}).open()
	resp, _ := s.get("/fn", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	is(t, resp, 200, "")
}

// RFC 6455 §4.1 requires GET, RFC 9110 §7.8 requires that an HTTP/1.0 server ignores the
// field, and the function would read a body after an upgrade as another request.
func TestOnlyAGetWithoutABodyOverHTTP11Upgrades(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %q %q %q", r.Method, r.Header["Connection"], r.Header["Upgrade"], body)
	}).open()
	const fields = "Host: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	const smuggled = "GET /private HTTP/1.1\r\nHost: app.localhost\r\n\r\n"
	for request, want := range map[string]string{
		"GET /fn HTTP/1.1\r\n" + fields + "\r\n":                                                                                       `GET ["Upgrade"] ["websocket"] ""`,
		"GET /fn HTTP/1.0\r\n" + fields + "\r\n":                                                                                       `GET [] [] ""`,
		"POST /fn HTTP/1.1\r\n" + fields + "\r\n":                                                                                      `POST [] [] ""`,
		"HEAD /fn HTTP/1.1\r\n" + fields + "\r\n":                                                                                      ``,
		fmt.Sprintf("POST /fn HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(smuggled), smuggled):                            fmt.Sprintf("POST [] [] %q", smuggled),
		fmt.Sprintf("GET /fn HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(smuggled), smuggled):                             fmt.Sprintf("GET [] [] %q", smuggled),
		fmt.Sprintf("POST /fn HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", fields, len(smuggled), smuggled): fmt.Sprintf("POST [] [] %q", smuggled),
	} {
		c := s.dial()
		io.WriteString(c, request)
		method, _, _ := strings.Cut(request, " ")
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || string(body) != want {
			t.Errorf("%.40q…: %s %q, %v, want %q", request, resp.Status, body, err, want)
		}
		c.Close()
	}
}
