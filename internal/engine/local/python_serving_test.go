package local

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// callables are applications in every form that servers of both interfaces accept.
var callables = map[string]string{
	"asgi_instance.py": `class Middleware:  # as Sentry's
    __slots__ = ("app", "__call__")
    def __init__(self, app):
        self.app = app
        self.__call__ = self.run
    async def run(self, scope, receive, send):
        await self.app(scope, receive, send)
async def inner(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
app = Middleware(inner)
`,
	"asgi_args.py": `from asgi_instance import inner
async def app(*args):
    await inner(*args)
`,
	"asgi_sync.py": `from asgi_instance import inner
def app(scope, receive, send):
    return inner(scope, receive, send)
`,
	"asgi_partial.py": `import functools
from asgi_instance import inner
async def configured(settings, scope, receive, send):
    await inner(scope, receive, send)
app = functools.partial(configured, {})
`,
	"asgi_class.py": `from asgi_instance import inner
class app:
    def __init__(self, scope, receive, send):
        self.given = scope, receive, send
    def __await__(self):
        return inner(*self.given).__await__()
`,
	"asgi_double.py": `from asgi_instance import inner
def app(scope):
    async def instance(receive, send):
        await inner(scope, receive, send)
    return instance
`,
	"asgi_double_class.py": `from asgi_instance import inner
class app:
    def __init__(self, scope):
        self.scope = scope
    async def __call__(self, receive, send):
        await inner(self.scope, receive, send)
`,
	"asgi_default.py": `from asgi_instance import inner
class Application:
    async def __call__(self, scope, receive=None, send=None):
        await inner(scope, receive, send)
app = Application()
`,
	"wsgi_args.py": `def app(*args):
    environ, start_response = args
    start_response("200 OK", [])
    return [b"ok"]
`,
	"wsgi_default.py": `def app(environ, start_response, extra=None):
    start_response("200 OK", [])
    return [b"ok"]
`,
	"wsgi_class.py": `class app:
    def __init__(self, environ, start_response):
        self.start = start_response
    def __iter__(self):
        self.start("200 OK", [])
        yield b"ok"
`,
	"wsgi_instance.py": `class Middleware:
    __slots__ = ("__call__",)
    def __init__(self):
        self.__call__ = self.run
    def run(self, environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]
app = Middleware()
`,
	"wsgi_method.py": `class Application:
    def answer(self, environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]
app = Application().answer
`,
}

func TestPythonApplicationsInAllFormsOfServers(t *testing.T) {
	r := newRig(t)
	if len(r.pythons) == 0 {
		t.Skip("there is no Python on this host: scripts/setup.sh installs one")
	}
	tree := r.tree("callables", callables)
	for handler := range callables {
		t.Run(handler, func(t *testing.T) {
			f := lateen.Function{Runtime: "python3", Handler: handler, Tree: tree}
			if _, got := whole(t, r.start(t, f, nil), to(t, http.MethodGet, "/", nil)); got != "ok" {
				t.Errorf("%q", got)
			}
		})
	}
	other := r.tree("uncallable", map[string]string{"app.py": `app = 5`, "few.py": `def app(): pass`})
	for _, handler := range []string{"app.py", "few.py"} {
		if _, err := r.begin(t, lateen.Function{Runtime: "python3", Handler: handler, Tree: other}, nil); err == nil || !strings.Contains(err.Error(), "neither a WSGI application") {
			t.Errorf("%s: %v", handler, err)
		}
	}
}

// TestBackgroundWorkBlocksNoRequest: at the end of the response the connection
// is free, but the call is open.
func TestBackgroundWorkBlocksNoRequest(t *testing.T) {
	r := newRig(t)
	if len(r.pythons) == 0 {
		t.Skip("there is no Python on this host: scripts/setup.sh installs one")
	}
	tree := r.tree("behind", map[string]string{
		"asgi.py": `import asyncio
finish = asyncio.Event()
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
    if scope["path"] == "/work":
        await finish.wait()
        print("the work is done")
    if scope["path"] == "/fail":
        raise ValueError("the work failed")
    if scope["path"] == "/finish":
        finish.set()
`,
		"wsgi.py": `import threading
finish = threading.Event()
class Body:
    def __init__(self, path):
        self.path = path
    def __iter__(self):
        yield b"ok"
    def close(self):
        if self.path == "/work":
            finish.wait()
            print("the work is done")
        if self.path == "/fail":
            raise ValueError("the work failed")
        if self.path == "/finish":
            finish.set()
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return Body(environ["PATH_INFO"])
`,
	})
	for _, handler := range []string{"asgi.py", "wsgi.py"} {
		t.Run(handler, func(t *testing.T) {
			i := r.start(t, lateen.Function{Runtime: "python3", Handler: handler, Tree: tree}, nil)
			ask := func(path, body string) {
				t.Helper()
				if _, got := whole(t, i, to(t, http.MethodPost, path, strings.NewReader(body))); got != "ok" {
					t.Errorf("%s: %q", path, got)
				}
			}
			ask("/work", strings.Repeat("left unread ", 1000))
			for n := range 5 {
				ask(fmt.Sprintf("/%d", n), "x")
			}
			if i.Busy() == 0 {
				t.Error("the call ended before its background work")
			}
			ask("/fail", "")
			r.awaitLine(t, i, "the work failed")
			ask("/finish", "x")
			r.awaitLine(t, i, "the work is done")
			rests(t, i)
			ask("/after", "x")
		})
	}
}
