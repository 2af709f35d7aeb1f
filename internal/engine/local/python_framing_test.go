package local

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// framings are applications that delimit messages incorrectly or leave it to the
// server. Each answers /own with the path and the header X-Own.
const framings = `
-- wsgi.py --
CASES = {
    "/crlf-value": ("200 OK", [("X-A", "a\r\nX-Forged: b")]),
    "/lf-value": ("200 OK", [("X-A", "a\nX-Forged: b")]),
    "/nul-value": ("200 OK", [("X-A", "a\x00")]),
    "/crlf-name": ("200 OK", [("X-A: a\r\nX-Forged", "b")]),
    "/space-name": ("200 OK", [("Transfer-Encoding ", "chunked")]),
    "/crlf-reason": ("200 OK\r\nX-Forged: b", []),
    "/interim": ("103 Early Hints", []),
    "/switch": ("101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade")]),
    "/lengths": ("200 OK", [("Content-Length", "2"), ("Content-Length", "40")]),
    "/plus": ("200 OK", [("Content-Length", "+2")]),
    "/underscore": ("200 OK", [("Content-Length", "0_2")]),
    "/long": ("200 OK", [("Content-Length", "2")]),
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/own":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['REQUEST_METHOD']} {environ.get('HTTP_X_OWN')}".encode()]
    if path == "/same":
        start_response("200 OK", [("Content-Length", "2"), ("content-length", "2")])
        return [b"ok"]
    if path == "/no-content":
        start_response("204 No Content", [("Content-Length", "2")])
        return [b"ok"]
    start_response(*CASES[path])
    return [b"okHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"]
-- asgi.py --
CASES = {
    "/crlf-value": (200, [(b"x-a", b"a\r\nx-forged: b")]),
    "/lf-value": (200, [(b"x-a", b"a\nx-forged: b")]),
    "/nul-value": (200, [(b"x-a", b"a\x00")]),
    "/crlf-name": (200, [(b"x-a: a\r\nx-forged", b"b")]),
    "/space-name": (200, [(b"transfer-encoding ", b"chunked")]),
    "/interim": (103, []),
    "/switch": (101, [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]),
    "/lengths": (200, [(b"content-length", b"2"), (b"content-length", b"40")]),
    "/plus": (200, [(b"content-length", b"+2")]),
    "/underscore": (200, [(b"content-length", b"0_2")]),
    "/long": (200, [(b"content-length", b"2")]),
}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path, body = scope["path"], b"okHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    if path == "/own":
        status, headers = 200, []
        body = f"{scope['method']} {dict(scope['headers']).get(b'x-own', b'').decode()}".encode()
    elif path == "/same":
        status, headers, body = 200, [(b"content-length", b"2"), (b"Content-Length", b"2")], b"ok"
    elif path == "/no-content":
        status, headers, body = 204, [(b"content-length", b"2")], b"ok"
    else:
        status, headers = CASES[path]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
-- handler.py --
from http.server import BaseHTTPRequestHandler


class handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Content-Length", "3")
            self.end_headers()
            for part in (b"5\r\nhel", b"lo\r", b"\n1;x=y\r\n \r\n", b"0\r\nTrailer: x\r\n\r\n"):
                self.wfile.write(part)
            return
        if self.path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        self.answer(f"{self.command} {self.headers['X-Own']}".encode())

    def do_POST(self):  # which reads no body
        if self.path == "/no-last-chunk":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n")
            return
        self.answer(b"unread")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
`

// TestPythonResponsesAreDelimitedOnce: a response that HTTP cannot express is a
// failure of the function (RFC 9110 §5.5, §5.1, §8.6, §15), and the next request
// gets its own response.
func TestPythonResponsesAreDelimitedOnce(t *testing.T) {
	r := newRig(t)
	if len(r.pythons) == 0 {
		t.Skip("there is no Python on this host: scripts/setup.sh installs one")
	}
	files := map[string]string{}
	for _, f := range txtar.Parse([]byte(framings)).Files {
		files[f.Name] = string(f.Data)
	}
	tree := r.tree("framings", files)
	begin := func(t *testing.T, handler string) engine.Instance {
		return r.start(t, lateen.Function{Runtime: fmt.Sprintf("python3.%d", r.pythons[0].Minor), Handler: handler, Tree: tree}, nil)
	}
	own := func(t *testing.T, i engine.Instance, n int) {
		t.Helper()
		req := to(t, http.MethodGet, "/own", nil)
		req.Header.Set("X-Own", fmt.Sprint(n))
		if resp, body := whole(t, i, req); body != fmt.Sprintf("GET %d", n) || resp.Header.Get("X-Forged") != "" {
			t.Errorf("response to request %d: %q, %v", n, body, resp.Header)
		}
	}
	for _, handler := range []string{"wsgi.py", "asgi.py"} {
		t.Run(handler, func(t *testing.T) {
			i := begin(t, handler)
			for n, path := range []string{
				"/crlf-value", "/lf-value", "/nul-value", "/crlf-name", "/space-name", "/crlf-reason", "/interim", "/switch", "/lengths", "/plus", "/underscore", "/long",
			} {
				if handler == "asgi.py" && path == "/crlf-reason" {
					continue // no ASGI variant exists
				}
				resp, err := i.RoundTrip(to(t, http.MethodGet, path, nil))
				if err == nil { // the response has at most begun
					var text []byte
					text, err = io.ReadAll(resp.Body)
					resp.Body.Close()
					if strings.Contains(string(text), "forged") || resp.Header.Get("X-Forged") != "" {
						t.Errorf("%s: response %q, %v", path, text, resp.Header)
					}
				}
				if !errors.Is(err, lateen.ErrFunctionFailed) {
					t.Errorf("%s: error: %v", path, err)
				}
				own(t, i, n)
			}
			if resp, body := whole(t, i, to(t, http.MethodGet, "/same", nil)); body != "ok" || resp.ContentLength != 2 {
				t.Errorf("one length twice: %q, %d", body, resp.ContentLength)
			}
			if resp, body := whole(t, i, to(t, http.MethodGet, "/no-content", nil)); body != "" || resp.StatusCode != 204 || resp.Header["Content-Length"] != nil {
				t.Errorf("204 with a body: %q, %v", body, resp.Header)
			}
			own(t, i, 100)
		})
	}
	t.Run("handler.py", func(t *testing.T) { testHandlersAreOneRequest(t, begin(t, "handler.py"), own) })
}

// testHandlersAreOneRequest: http.server would read the unread rest of a body as the
// next request.
func testHandlersAreOneRequest(t *testing.T, i engine.Instance, own func(*testing.T, engine.Instance, int)) {
	const smuggled = "GET /own HTTP/1.1\r\nHost: x\r\nX-Own: smuggled\r\n\r\n"
	for n := range 5 {
		if _, body := whole(t, i, to(t, http.MethodPost, "/", strings.NewReader(smuggled))); body != "unread" {
			t.Errorf("a POST is answered with %q", body)
		}
		own(t, i, n)
		chunked := to(t, http.MethodPost, "/", strings.NewReader(smuggled))
		chunked.ContentLength = -1
		if _, body := whole(t, i, chunked); body != "unread" {
			t.Errorf("a POST in chunks is answered with %q", body)
		}
		own(t, i, n)
	}
	if resp, body := whole(t, i, to(t, http.MethodGet, "/chunked", nil)); body != "hello " {
		t.Errorf("chunks of the handler: %q, %v", body, resp.Header)
	}
	if resp, body := whole(t, i, to(t, http.MethodHead, "/own", nil)); resp.StatusCode != 501 || body != "" {
		t.Errorf("HEAD is answered with %s, %q", resp.Status, body)
	}
	if _, body := whole(t, i, to(t, http.MethodGet, "/hints", nil)); body != "ok" {
		t.Errorf("response after an interim one: %q", body)
	}
	fails(t, i, "/no-last-chunk", lateen.ErrFunctionFailed, "no last chunk")
	own(t, i, 100)
}
