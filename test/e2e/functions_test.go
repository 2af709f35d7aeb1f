//go:build e2e

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// checkFunctions checks the functions example: every way to write a function, and to
// break one.
func checkFunctions(t *testing.T, s site) {
	t.Run("exports", func(t *testing.T) { checkExports(t, s) })
	t.Run("helpers", func(t *testing.T) { checkHelpers(t, s) })
	t.Run("edge", func(t *testing.T) { checkEdge(t, s) })
	t.Run("guard", func(t *testing.T) { checkGuard(t, s) })
	t.Run("bodies", func(t *testing.T) { checkBodies(t, s) })
	t.Run("streams", func(t *testing.T) { checkStreams(t, s) })
	t.Run("failures", func(t *testing.T) { checkFailures(t, s) })
	t.Run("limits", func(t *testing.T) { checkLimits(t, s) })
	t.Run("claims", func(t *testing.T) { checkClaims(t, s) })
}

func checkExports(t *testing.T, s site) {
	s.expect(t,
		want{path: "/api/hello", contains: []string{"hello\n"}, has: map[string]string{"Cache-Control": "public, max-age=0, must-revalidate"}},
		want{path: "/api/hello.js", contains: []string{"hello\n"}},
		want{method: http.MethodHead, path: "/api/hello"},
		want{path: "/api/typed?name=Ada", contains: []string{`"hello":"Ada"`}},
		want{path: "/api/commonjs?name=Ada", contains: []string{`"module":"commonjs"`, `"name":"Ada"`}},
		want{path: "/api/raw", contains: []string{"first\nsecond\n"}, has: map[string]string{"Set-Cookie": "a=1, b=2", "Content-Type": "text/plain; charset=utf-8"}},
		want{path: "/api/fetch?a=1", json: map[string]any{"method": "GET", "pathname": "/api/fetch", "query": map[string]string{"a": "1"}}},
		want{method: http.MethodDelete, path: "/api/fetch", json: map[string]any{"method": "DELETE", "pathname": "/api/fetch", "query": map[string]string{}}},
		want{path: "/api/methods", contains: []string{"GET /api/methods\n"}},
		want{method: http.MethodPost, path: "/api/methods", body: "hold", status: 201, json: map[string]string{"received": "hold"}},
		want{method: http.MethodDelete, path: "/api/methods", status: 405},
		want{path: "/api/listen?x=1", contains: []string{"GET /api/listen?x=1 from a listening server\n"}},
		want{path: "/api/users/42", json: map[string]any{"id": "42", "query": map[string]string{"id": "42"}, "url": "/api/users/42?id=42"}},
		want{path: "/", contains: []string{"<!doctype html>"}},
		want{path: "/api/nowhere", status: 404, has: map[string]string{"X-Vercel-Error": "NOT_FOUND"}},
		want{path: "/nowhere", status: 404, has: map[string]string{"X-Vercel-Error": "NOT_FOUND"}},
	)
	t.Run("env", func(t *testing.T) {
		got := decode[map[string]any](t, s.get(t, "/api/env"))
		if got["VERCEL"] != "1" || got["NODE_ENV"] != "production" || got["VERCEL_REGION"] != "local" || !strings.HasPrefix(fmt.Sprint(got["node"]), "v24.") {
			t.Errorf("a function finds %v", got)
		}
		if got["uid"] == float64(0) {
			t.Error("functions run as root")
		}
	})
	t.Run("headers", func(t *testing.T) {
		got := decode[map[string]string](t, s.get(t, "/api/headers", withHeader("X-Own", "kept")))
		host := fmt.Sprintf("%s:%d", s.host, s.port)
		for name, value := range map[string]string{
			"x-own": "kept", "host": host, "x-forwarded-host": host, "x-forwarded-proto": "http",
			"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "x-matched-path": "/api/headers",
		} {
			if got[name] != value {
				t.Errorf("%s is %q, want %q", name, got[name], value)
			}
		}
		for name := range got {
			if strings.HasPrefix(name, "x-vercel-internal-") || strings.HasPrefix(name, "x-lateen-") {
				t.Errorf("the platform's own %s reaches user code", name)
			}
		}
	})
}

func checkHelpers(t *testing.T, s site) {
	s.expect(t,
		want{path: "/api/helpers?a=1&a=2&b=", header: []string{"Cookie", "one=1; two=%20"}, json: map[string]any{
			"method": "GET", "url": "/api/helpers?a=1&a=2&b=", "query": map[string]any{"a": []string{"1", "2"}, "b": ""}, "cookies": map[string]string{"one": "1", "two": " "}, "body": nil,
		}},
		want{
			name: "JSON", method: http.MethodPost, path: "/api/helpers", header: []string{"Content-Type", "application/json"}, body: `{"x":[1]}`,
			json: map[string]any{"method": "POST", "url": "/api/helpers", "query": map[string]any{}, "cookies": map[string]any{}, "body": map[string]any{"x": []int{1}}},
		},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/helpers", header: []string{"Content-Type", "application/json"}, body: `{"x":`, status: 400},
		want{
			name: "a form", method: http.MethodPost, path: "/api/helpers", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, body: `x=1&y=a+b`,
			json: map[string]any{"method": "POST", "url": "/api/helpers", "query": map[string]any{}, "cookies": map[string]any{}, "body": map[string]string{"x": "1", "y": "a b"}},
		},
		want{path: "/api/send", status: 418, contains: []string{"short and stout"}, has: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		want{path: "/api/send?as=json", status: 201, json: map[string]string{"sent": "json"}, has: map[string]string{"Content-Type": "application/json; charset=utf-8"}},
		want{path: "/api/send?as=bytes", contains: []string{"\x01\x02\x03"}, has: map[string]string{"Content-Type": "application/octet-stream"}},
		want{path: "/api/send?as=empty", status: 204},
		want{path: "/api/redirect", status: 307, location: "/"},
		want{path: "/api/redirect?to=/api/hello&status=302", status: 302, location: "/api/hello"},
	)
}

func checkEdge(t *testing.T, s site) {
	s.expect(t,
		want{path: "/api/edge?x=1", json: map[string]any{
			"runtime": "edge-runtime", "node": false, "method": "GET", "pathname": "/api/edge", "query": map[string]string{"x": "1"}, "body": "",
		}},
		want{method: http.MethodPost, path: "/api/edge", body: "to the edge", json: map[string]any{
			"runtime": "edge-runtime", "node": false, "method": "POST", "pathname": "/api/edge", "query": map[string]string{}, "body": "to the edge",
		}},
		want{path: "/api/where", contains: []string{`"ip":"127.0.0.1"`}},
		want{method: http.MethodPost, path: "/api/where", status: 405},
	)
}

func checkGuard(t *testing.T, s site) {
	s.expect(t,
		want{path: "/guarded/note.txt", status: 401, json: map[string]string{"error": "guarded"}},
		want{path: "/guarded/note.txt?key=sesame", has: map[string]string{"X-Guard": "passed"}},
		want{path: "/guarded/nowhere", status: 401},
		want{path: "/guarded/nowhere?key=sesame", status: 404},
		want{path: "/style.css", has: map[string]string{"X-Guard": ""}},
	)
}

func checkBodies(t *testing.T, s site) {
	s.tell(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 8<<20/16)
	sum := sha256.Sum256(body)
	r := s.send(t, http.MethodPost, "/api/digest", bytes.NewReader(body))
	sameJSON(t, r, map[string]any{"bytes": len(body), "sha256": hex.EncodeToString(sum[:])})
	r = s.send(t, http.MethodPost, "/api/digest", io.MultiReader(bytes.NewReader(body))) // chunked
	sameJSON(t, r, map[string]any{"bytes": len(body), "sha256": hex.EncodeToString(sum[:])})
	r = s.send(t, http.MethodPost, "/api/digest", http.NoBody)
	sameJSON(t, r, map[string]any{"bytes": 0, "sha256": hex.EncodeToString(sha256.New().Sum(nil))})

	t.Run("too large", func(t *testing.T) {
		resp, err := s.open(t, http.MethodPost, "/api/digest", io.LimitReader(zeros{}, 101<<20), func(r *http.Request) { r.ContentLength = 101 << 20 })
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge || resp.Header.Get("X-Vercel-Error") != "FUNCTION_PAYLOAD_TOO_LARGE" {
			t.Errorf("%s %s", resp.Status, resp.Header.Get("X-Vercel-Error"))
		}
	})
}

type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func checkStreams(t *testing.T, s site) {
	s.expectStream(t, "/api/events", 5)

	t.Run("both ways", func(t *testing.T) {
		s.tell(t)
		in, out := io.Pipe()
		said := make(chan string, 1)
		go func() {
			defer out.Close()
			for _, word := range []string{"bow", "stern"} {
				if _, err := io.WriteString(out, word); err != nil {
					return
				}
				select {
				case <-said: // the sent bytes have come back, before more are sent
				case <-t.Context().Done():
					return
				}
			}
		}()
		resp, err := s.open(t, http.MethodPost, "/api/echo", in, withHeader("Content-Type", "text/plain"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var all strings.Builder
		buffer := make([]byte, 64)
		for {
			n, err := resp.Body.Read(buffer)
			if n > 0 {
				all.Write(buffer[:n])
				said <- string(buffer[:n])
			}
			if err != nil {
				break
			}
		}
		if all.String() != "BOWSTERN" {
			t.Errorf("the echo is %q", all.String())
		}
	})
	t.Run("the reader goes away", func(t *testing.T) {
		s.tell(t)
		resp, err := s.open(t, http.MethodGet, "/api/events?ms=500", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		id := (&response{Header: resp.Header}).requestID()
		resp.Body.Close()
		s.logged(t, id, "events: the stream ended")
	})
}

// checkFailures checks that a failure of one request affects no other.
func checkFailures(t *testing.T, s site) {
	failed := map[string]string{"X-Vercel-Error": "FUNCTION_INVOCATION_FAILED"}
	s.expect(t,
		want{path: "/api/throw", status: 500, has: failed},
		want{name: "JSON is answered where it is asked for", path: "/api/throw", header: []string{"Accept", "application/json"}, status: 500, contains: []string{`"code":"FUNCTION_INVOCATION_FAILED"`}},
		want{path: "/api/exit", status: 500, has: failed},
		want{name: "exit with 0", path: "/api/exit?code=0", status: 502, has: map[string]string{"X-Vercel-Error": "NO_RESPONSE_FROM_FUNCTION"}},
		want{path: "/api/sleep?ms=10", json: map[string]int{"slept": 10}},
	)
	t.Run("an instance that throws lives on", func(t *testing.T) {
		s.tell(t)
		r := s.get(t, "/api/throw")
		s.logged(t, r.requestID(), "thrown on purpose")
	})
	t.Run("a rejection nobody awaits", func(t *testing.T) {
		s.tell(t)
		r := s.get(t, "/api/reject")
		if r.Status != http.StatusOK && r.Status != http.StatusInternalServerError {
			t.Errorf("%d %s", r.Status, clip(r.Body))
		}
		s.logged(t, r.requestID(), "rejected on purpose")
	})
	t.Run("neighbours of a process that exits", func(t *testing.T) {
		s.tell(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					if r, err := s.try(t, http.MethodGet, "/api/exit", nil); err != nil || r.Status < http.StatusInternalServerError {
						t.Errorf("/api/exit: %v %+v", err, r)
					}
					if r, err := s.try(t, http.MethodGet, "/api/hello", nil); err != nil || r.Status != http.StatusOK {
						t.Errorf("/api/hello meanwhile: %v %+v", err, r)
					}
				}
			})
		}
		all.Wait()
	})
	t.Run("one instance takes several requests at once", func(t *testing.T) {
		s.tell(t)
		type instance struct {
			ID     string `json:"id"`
			InHand int    `json:"inHand"`
		}
		s.get(t, "/api/instance")
		var mu sync.Mutex
		seen, most := map[string]bool{}, 0
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				i := decode[instance](t, s.get(t, "/api/instance?ms=300"))
				mu.Lock()
				defer mu.Unlock()
				seen[i.ID], most = true, max(most, i.InHand)
			})
		}
		all.Wait()
		if most < 2 || len(seen) > 4 {
			t.Errorf("8 requests went to %d instances, at most %d at once in one", len(seen), most)
		}
	})
}

func checkLimits(t *testing.T, s site) {
	s.expect(t,
		want{path: "/api/sleep?ms=20000", status: 504, has: map[string]string{"X-Vercel-Error": "FUNCTION_INVOCATION_TIMEOUT"}},
		want{name: "after a timeout", path: "/api/sleep?ms=1", json: map[string]int{"slept": 1}},
		want{path: "/api/memory?mb=32", contains: []string{`"allocated":32`}},
	)
	t.Run("memory", func(t *testing.T) {
		s.tell(t)
		r := s.get(t, "/api/memory?mb=2048")
		if r.Status != http.StatusInternalServerError {
			t.Errorf("a function of 256 MB that takes 2 GB answers %d %s", r.Status, clip(r.Body))
		}
		eventually(t, func() error {
			if r := s.get(t, "/api/memory?mb=1"); r.Status != http.StatusOK {
				return fmt.Errorf("afterwards: %d", r.Status)
			}
			return nil
		})
	})
	t.Run("files", func(t *testing.T) {
		s.tell(t)
		type note struct {
			Before *string `json:"before"`
			Code   string  `json:"code"`
		}
		first := decode[note](t, s.get(t, "/api/tmp"))
		if first.Before != nil {
			t.Errorf("another's note is in /tmp: %s", *first.Before)
		}
		if first.Code == "writable" {
			t.Error("a function can write to its code")
		}
		if second := decode[note](t, s.get(t, "/api/tmp")); second.Before == nil {
			t.Error("/tmp does not outlive a request")
		}
	})
}

// checkClaims checks that clients cannot impersonate the platform.
func checkClaims(t *testing.T, s site) {
	s.tell(t)
	claims := map[string]string{
		"x-forwarded-for": "6.6.6.6", "x-real-ip": "6.6.6.6", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "for=6.6.6.6",
		"x-vercel-forwarded-for": "6.6.6.6", "x-vercel-internal-invocation-id": "1", "x-vercel-internal-request-id": "1", "x-vercel-ip-country": "XX",
		"x-vercel-id": "evil", "x-vercel-deployment-url": "evil.example", "x-vercel-oidc-token": "evil", "x-vercel-sc-host": "evil.example",
		"x-matched-path": "/evil", "x-now-route-matches": "1=evil", "x-middleware-rewrite": "/evil", "x-middleware-next": "1", "x-middleware-subrequest": "evil",
		"x-middleware-override-headers": "evil", "x-invoke-path": "/evil", "x-lateen-hops": "99", "next-resume": "1",
	}
	var options []option
	for name, value := range claims {
		options = append(options, withHeader(name, value))
	}
	r := s.get(t, "/api/headers", options...)
	if r.Status != http.StatusOK {
		t.Fatalf("%d %s", r.Status, clip(r.Body))
	}
	for name, value := range decode[map[string]string](t, r) {
		if claims[name] == value {
			t.Errorf("a client's %s: %s reaches the function", name, value)
		}
	}
	if r := s.get(t, "/guarded/note.txt", append(options, withHeader("x-middleware-subrequest", "middleware:middleware:middleware:middleware:middleware"))...); r.Status != http.StatusUnauthorized {
		t.Errorf("with headers of its own a client passes the guard: %d", r.Status)
	}
}

func TestAFunctionTakesWebSockets(t *testing.T) {
	t.Parallel()
	p := common(t)
	dir := filepath.Join(t.TempDir(), "socket")
	output(t, dir, map[string]string{
		"functions/ws.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs"}`,
		"functions/ws.func/index.js": `const server = require("node:http").createServer((req, res) => res.end("plain"));
server.on("upgrade", (req, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + req.headers.upgrade + "\r\nConnection: Upgrade\r\n\r\nwelcome ");
  socket.on("data", (chunk) => socket.end(String(chunk).toUpperCase()));
});
server.listen(3000);`,
	})
	s := lateenCLI(t, p, dir).deploy("deploy")
	s.expect(t,
		want{path: "/ws", contains: []string{"plain"}},
		want{name: "no other protocol", path: "/ws", header: []string{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c"}, contains: []string{"plain"}},
	)
	resp, err := s.open(t, http.MethodGet, "/ws", nil, withHeader("Connection", "Upgrade"), withHeader("Upgrade", "websocket"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriter)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("%s %s", resp.Status, headerText(resp.Header))
	}
	if _, err := io.WriteString(conn, "aboard"); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(conn); err != nil || string(said) != "welcome ABOARD" {
		t.Errorf("the function said %q, %v", said, err)
	}
}

// logged waits until the platform knows that a request wrote texts.
func (s site) logged(t *testing.T, request string, texts ...string) {
	t.Helper()
	if request == "" {
		t.Fatal("the response names no request")
	}
	c := s.client()
	d, err := c.Deployment(t.Context(), s.host)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		var written strings.Builder
		entries, err := c.Entries(t.Context(), queryOf(d, request), 10)
		for _, e := range entries {
			for _, line := range e.Lines {
				written.WriteString(line.Text + "\n")
			}
		}
		for _, text := range texts {
			if err == nil && !strings.Contains(written.String(), text) {
				err = fmt.Errorf("%q is not among what the request %s wrote: %q", text, request, written.String())
			}
		}
		return err
	})
}

var errNotYet = errors.New("not yet")
