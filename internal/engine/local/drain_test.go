package local

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

// TestAConnectionSurvivesAnUnreadBody: a response without Connection: close
// keeps the connection open (RFC 9112 §9.3), so the upstream client may send a
// request after a complete body, and that request must get a response.
func TestAConnectionSurvivesAnUnreadBody(t *testing.T) {
	r := newRig(t)
	tree := r.tree("early", map[string]string{
		"node.js": `module.exports = (req, res) => res.end('ok');`,
		"bun.js":  `export default { fetch: () => new Response('ok') };`,
		"wsgi.py": `
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
`,
		"asgi.py": `
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
`,
		"handler.py": `
from http.server import BaseHTTPRequestHandler
class handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
`,
	})
	functions := map[string]lateen.Function{
		"node.js": {Runtime: "nodejs24.x", Handler: "node.js", Tree: tree},
		"bun.js":  {Runtime: "bun1.x", Handler: "bun.js", Tree: tree, LauncherType: "Nodejs"},
	}
	if len(r.pythons) > 0 {
		for _, handler := range []string{"wsgi.py", "asgi.py", "handler.py"} {
			functions[handler] = lateen.Function{Runtime: fmt.Sprintf("python3.%d", r.pythons[0].Minor), Handler: handler, Tree: tree}
		}
	}
	for name, f := range functions {
		t.Run(name, func(t *testing.T) {
			i := r.start(t, f, nil).(*instance.Instance) //nolint:forcetypeassert // an instance of this engine
			conn, err := i.Upstream.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			body := strings.Repeat("x", 1<<20)
			in := bufio.NewReader(conn)
			for n := range 3 {
				fmt.Fprintf(conn, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", n, len(body), body[:10])
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("request %d: no response: %v", n, err)
				}
				if text, err := io.ReadAll(resp.Body); string(text) != "ok" || resp.Close {
					t.Fatalf("request %d: %q, %v, connection closed: %v", n, text, err, resp.Close)
				}
				if _, err := io.WriteString(conn, body[10:]); err != nil {
					t.Fatalf("the rest of body %d: %v", n, err)
				}
			}
		})
	}
}
