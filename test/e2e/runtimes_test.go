//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// checkRuntimes checks the runtimes example: a function for each runtime besides
// Node.js.
func checkRuntimes(t *testing.T, s site) {
	s.expect(t,
		want{path: "/index.txt", contains: []string{"one function for each runtime"}},
		want{name: "a program on $PORT", path: "/server?a=1", contains: []string{`"runtime":"executable"`, `"query":"a=1"`, `"host":"` + s.host}},
		want{
			name: "a client of the Lambda Runtime API", method: http.MethodPost, path: "/lambda?a=1", body: "sent",
			json: map[string]string{"runtime": "provided.al2023", "method": "POST", "query": "a=1", "body": "sent"}, has: map[string]string{"Set-Cookie": "a=1"},
		},
		want{name: "its failure", path: "/lambda?fail", status: 500, has: map[string]string{"X-Vercel-Error": "FUNCTION_INVOCATION_FAILED"}},
		want{name: "WSGI", path: "/wsgi?a=1", json: map[string]string{"runtime": "python", "style": "wsgi", "method": "GET", "query": "a=1"}},
		want{name: "ASGI", path: "/asgi", json: map[string]any{"runtime": "python", "style": "asgi", "method": "GET", "started": true}},
		want{name: "its failure", path: "/asgi?fail", status: 500, has: map[string]string{"X-Vercel-Error": "FUNCTION_INVOCATION_FAILED"}},
		want{name: "a handler class", path: "/handler?a=1", json: map[string]string{"runtime": "python", "style": "handler", "path": "/handler?a=1"}},
		want{name: "WebAssembly", path: "/module?a=1", json: map[string]string{"runtime": "wasi", "method": "GET", "query": "a=1", "on": "wasip1"}},
		want{name: "Bun", path: "/bun?a=1", json: map[string]string{"runtime": "bun", "version": "1", "method": "GET", "query": "?a=1"}},
	)
	t.Run("many at once", func(t *testing.T) {
		for _, path := range []string{"/server", "/lambda", "/wsgi", "/asgi", "/module", "/bun"} {
			answers := make(chan string, 8)
			for range cap(answers) {
				go func() {
					resp, err := s.open(t, http.MethodGet, path, nil)
					if err != nil {
						answers <- err.Error()
						return
					}
					resp.Body.Close()
					answers <- resp.Status
				}()
			}
			for range cap(answers) {
				if got := <-answers; !strings.HasPrefix(got, "200") {
					t.Errorf("%s: %s", path, got)
				}
			}
		}
	})
}
