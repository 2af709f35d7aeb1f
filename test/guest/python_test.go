package guest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// python puts a Python function at path.
func (p *platform) python(path, source string) {
	p.t.Helper()
	p.function(path, lateen.Function{Runtime: "python3.12", Handler: "app.py"}, source)
}

// needsPython skips the test where the function at path has no Python to run on.
func (p *platform) needsPython(path string) {
	p.t.Helper()
	if resp, _ := p.get(path); resp.StatusCode == http.StatusNotImplemented {
		p.t.Skip("there is no Python on this host: scripts/setup.sh installs one")
	}
}

// Gateway interfaces (RFC 3875, section 4.1.18; PEP 3333) and frameworks on ASGI
// make "_" of "-", so X_Auth_User would pass for X-Auth-User.
func TestHeadersWithAnUnderscoreDoNotReachPython(t *testing.T) {
	p := newPlatform(t)
	p.python("/wsgi", `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("HTTP_X_AUTH_USER", "HTTP_X_INVOCATION_ID", "HTTP_X_OWN", "HTTP_X_ALONE", "CONTENT_TYPE")
    return ["; ".join(f"{name}={environ.get(name)}" for name in names).encode()]
`)
	p.python("/asgi", `async def app(scope, receive, send):
    env = {}
    for name, value in scope["headers"]:  # as Django does
        name = "HTTP_" + name.decode().upper().replace("-", "_")
        env[name] = env[name] + "," + value.decode() if name in env else value.decode()
    env["CONTENT_TYPE"] = env.get("HTTP_CONTENT_TYPE")
    names = ("HTTP_X_AUTH_USER", "HTTP_X_INVOCATION_ID", "HTTP_X_OWN", "HTTP_X_ALONE", "CONTENT_TYPE")
    body = "; ".join(f"{name}={env.get(name)}" for name in names).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
`)
	p.needsPython("/wsgi")
	for _, path := range []string{"/wsgi", "/asgi"} {
		resp, body := p.get(path, "X-Auth-User: alice", "X_Auth_User: admin", "X_Auth-User: admin", "X-Own: kept", "X_Alone: admin", "X_Invocation_Id: mine", "Content_Type: text/evil")
		id := resp.Header.Get("X-Vercel-Id")
		id = id[strings.LastIndex(id, ":")+1:]
		if want := "HTTP_X_AUTH_USER=alice; HTTP_X_INVOCATION_ID=" + id + "; HTTP_X_OWN=kept; HTTP_X_ALONE=None; CONTENT_TYPE=None"; body != want {
			t.Errorf("%s sees %s\nwant %s", path, body, want)
		}
	}
}

// A client waits for a final response after an interim one (RFC 9110, section 15.2).
func TestAnInterimStatusOfPythonFailsItsRequestAtOnce(t *testing.T) {
	p := newPlatform(t)
	p.python("/wsgi", `def app(environ, start_response):
    start_response("103 Early Hints", [("Link", "</a.css>")])
    return []
`)
	p.python("/asgi", `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 103, "headers": []})
    await send({"type": "http.response.body", "body": b""})
`)
	p.needsPython("/wsgi")
	for _, path := range []string{"/wsgi", "/asgi"} {
		if resp, _ := p.get(path); resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("X-Vercel-Error") != "FUNCTION_INVOCATION_FAILED" {
			t.Errorf("%s: %s %q", path, resp.Status, resp.Header.Get("X-Vercel-Error"))
		}
	}
}

// An error after a complete response leaves the response unchanged.
func TestAnErrorAfterACompletePythonResponseDoesNotChangeIt(t *testing.T) {
	p := newPlatform(t)
	p.python("/wsgi", `class Body:
    def __iter__(self):
        yield b"complete"
    def close(self):
        raise ValueError("after the end")
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body()
`)
	p.python("/asgi", `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"complete"})
    raise ValueError("after the end")
`)
	p.needsPython("/wsgi")
	for _, path := range []string{"/wsgi", "/asgi"} {
		for range 2 {
			if resp, body := p.get(path); resp.StatusCode != http.StatusOK || body != "complete" {
				t.Errorf("%s: %s %q", path, resp.Status, body)
			}
		}
	}
	p.awaitLine("ValueError: after the end")
}

// WSGI (PEP 3333) and ASGI decode an encoded slash, which is not a slash for routes
// (RFC 3986, section 2.2): a route that refuses a path also refuses it in that
// spelling.
func TestAnEncodedSlashDoesNotLeadPastRoutesToPython(t *testing.T) {
	p := newPlatform(t)
	p.python("/wsgi", `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]
`)
	p.python("/asgi", `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})
`)
	for _, kind := range []string{"wsgi", "asgi"} {
		p.manifest.Routes = append(p.manifest.Routes,
			lateen.Route{Src: "/" + kind + "/private/.*", Mitigate: &lateen.Mitigate{Action: "deny"}},
			lateen.Route{Src: "/" + kind + ".*", Dest: "/" + kind})
	}
	p.needsPython("/wsgi")
	for _, kind := range []string{"/wsgi", "/asgi"} {
		if _, body := p.get(kind + "/public%2Fx"); body != kind+"/public/x" {
			t.Errorf("the application sees %s", body)
		}
		for _, path := range []string{"/private/x", "/private%2Fx", "%2fprivate%2fx", "/%70rivate%2Fx", "/public%2F..%2Fprivate%2Fx"} {
			if resp, body := p.get(kind + path); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s, the application sees %s", kind+path, resp.Status, body)
			}
		}
	}
}
