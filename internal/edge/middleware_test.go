package edge

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// middlewareStage returns a stage with the middleware m before all routes and a function
// at /fn that answers with the request it received.
func middlewareStage(t *testing.T, m http.HandlerFunc) *stage {
	t.Helper()
	s := newStage(t)
	s.function("/fn", lateen.Function{})
	s.function("/_middleware", lateen.Function{Runtime: "edge"})
	s.manifest.Routes = []lateen.Route{{Src: "/.*", MiddlewarePath: "_middleware", Continue: true, Override: true}}
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Matched-Path") == "/_middleware" || r.Header.Get("X-Matched-Path") == "_middleware" {
			m(w, r)
			return
		}
		for name, values := range r.Header {
			w.Header()["Saw-"+name] = values
		}
		w.Header().Set("Saw-Uri", r.RequestURI)
		io.Copy(w, r.Body)
	})
	return s
}

func next(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Middleware-Next", "1") }

func TestAMiddlewareAndTheFunctionBothSeeTheBody(t *testing.T) {
	seen := ""
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = string(b)
		next(w, r)
	}).open()
	for name, body := range map[string]io.Reader{"sized": strings.NewReader("payload"), "chunked": io.MultiReader(strings.NewReader("payload"))} {
		seen = ""
		resp, got := s.do("POST", "/fn", body)
		if is(t, resp, 200, ""); got != "payload" || seen != "payload" {
			t.Errorf("%s: the middleware saw %q, the function %q", name, seen, got)
		}
	}
	s.record(1) // waits for the release of the memory
	if s.edge.memory.Free() != bodyMemory {
		t.Error("memory was not released")
	}
	if r := s.record(0); r.Middleware == nil || r.Middleware.Function != "/_middleware" || r.Kind != "function" || r.BytesIn != 7 {
		t.Errorf("recorded: %+v", r)
	}
}

func TestALongBodyBypassesTheMiddleware(t *testing.T) {
	var seen []byte
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		seen, _ = io.ReadAll(r.Body)
		next(w, r)
	}).open()
	long := strings.Repeat("x", middlewareBody+1)
	for name, body := range map[string]io.Reader{"sized": strings.NewReader(long), "chunked": io.MultiReader(strings.NewReader(long))} {
		resp, got := s.do("POST", "/fn", body)
		if is(t, resp, 200, ""); got != long || len(seen) != 0 {
			t.Errorf("%s: the middleware saw %d bytes, the function %d", name, len(seen), len(got))
		}
	}
}

func TestSeveralMiddlewaresLeaveTheBodyWhole(t *testing.T) {
	s := middlewareStage(t, next)
	s.function("/_second", lateen.Function{Runtime: "edge"})
	s.manifest.Routes = append(s.manifest.Routes, lateen.Route{Src: "/.*", MiddlewarePath: "_second", Continue: true, Override: true})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Matched-Path") == "/fn" {
			io.Copy(w, r.Body)
			return
		}
		io.Copy(io.Discard, r.Body)
		next(w, r)
	})
	s.open()
	for n, size := range []int{7, middlewareBody + 1000} {
		sent := strings.Repeat("0123456789", size/10+1)[:size]
		resp, got := s.do("POST", "/fn", io.MultiReader(strings.NewReader(sent)))
		if is(t, resp, 200, ""); got != sent {
			t.Errorf("the function saw %d bytes of %d", len(got), size)
		}
		s.record(n) // waits for the release of the memory
		if s.edge.memory.Free() != bodyMemory {
			t.Errorf("after %d bytes: memory was not released", size)
		}
	}
}

func TestBodiesHeldForMiddlewaresAreBounded(t *testing.T) {
	s := middlewareStage(t, next).open()
	s.edge.memory = share.NewAmount[string](copyBuffer - 1)
	resp, _ := s.do("POST", "/fn", strings.NewReader("payload"))
	is(t, resp, 503, "OVERLOADED")
	resp, _ = s.get("/fn")
	is(t, resp, 200, "")
}

func TestChangesOfAMiddleware(t *testing.T) {
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Middleware-Override-Headers", "x-kept,x-new")
		h.Set("X-Middleware-Request-X-Kept", r.Header.Get("X-Kept"))
		h.Set("X-Middleware-Request-X-New", "new")
		h.Set("X-Response", "from middleware")
		h.Add("Set-Cookie", "m=1")
		h.Set("X-Middleware-Rewrite", "/fn?rewritten=1")
	}).open()
	resp, _ := s.get("/somewhere?a=1", "X-Kept: kept", "X-Dropped: dropped")
	is(t, resp, 200, "")
	for name, value := range map[string]string{
		"Saw-X-Kept": "kept", "Saw-X-New": "new", "Saw-X-Dropped": "", "X-Response": "from middleware", "Set-Cookie": "m=1",
		"X-Middleware-Override-Headers": "", "X-Middleware-Request-X-New": "", "X-Middleware-Rewrite": "",
	} {
		has(t, resp.Header, name, value)
	}
	if uri := resp.Header.Get("Saw-Uri"); !strings.HasPrefix(uri, "/fn?") || !strings.Contains(uri, "rewritten=1") {
		t.Errorf("the function got a request for %s", uri)
	}
}

// A middleware that compares paths itself protects every spelling of a path that the
// platform serves: an unnecessary percent-encoding does not make another path (RFC 3986
// §6.2.2.2), and the platform serves "/%61dmin" as "/admin".
func TestNoSpellingOfAPathBypassesAMiddleware(t *testing.T) {
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.RequestURI, "/fn") || strings.HasPrefix(r.RequestURI, "/@user") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
	s.function("/@user", lateen.Function{})
	s.file("/fn.txt", "text/plain", "guarded")
	s.open()
	for _, path := range []string{
		"/fn", "/%66n", "/f%6E", "/f%6e", "/%66%6e?a=%66", "/./fn", "/x/.%2e/../%66n", "/%2e/%66n",
		"/@user", "/%40user", "/%40%75ser", "/fn.txt", "/fn%2Etxt", "/%66n.txt",
	} {
		if resp, body := s.get(path); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d %q, want the middleware's 401", path, resp.StatusCode, body)
		}
	}
	// An encoding that makes another path is preserved.
	resp, _ := s.get("/other%2F%66n")
	is(t, resp, 404, "NOT_FOUND")
}

// A path with a character that it must encode (RFC 3986 §3.3) keeps its encoded slashes,
// which are no separators (§2.2).
func TestAMiddlewareAndTheFunctionSeeEncodedSlashes(t *testing.T) {
	saw := ""
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		saw = r.RequestURI
		next(w, r)
	})
	s.manifest.Routes = append(s.manifest.Routes, lateen.Route{Src: "/guarded/.*", Dest: "/fn", Check: true})
	s.open()
	resp, _ := s.get("/guarded/..%2F%7C%7B")
	is(t, resp, 200, "")
	if fn := resp.Header.Get("Saw-Uri"); saw != "/guarded/..%2F%7C%7B" || fn != saw {
		t.Errorf("the middleware saw %s, the function %s", saw, fn)
	}
}

func TestAMiddlewareAnswersItself(t *testing.T) {
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			w.Header().Set("Location", "/login?from=/moved")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "no coffee")
	}).open()
	resp, body := s.get("/fn")
	if is(t, resp, 418, ""); body != "no coffee" {
		t.Errorf("got %q", body)
	}
	resp, _ = s.get("/moved")
	is(t, resp, 307, "")
	has(t, resp.Header, "Location", "/login?from=/moved")
	if r := s.record(0); r.Kind != "middleware" || r.Status != 418 {
		t.Errorf("recorded: %s %d", r.Kind, r.Status)
	}
}

func TestAMiddlewareThatCrashesEndsTheRequest(t *testing.T) {
	s := middlewareStage(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).open()
	resp, _ := s.get("/fn")
	if resp.StatusCode != 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestErrorsOfAMiddlewareHaveTheirOwnCode(t *testing.T) {
	var failure error
	s := middlewareStage(t, next)
	s.options.Fleet = invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
		return nil, failure
	})
	s.open()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{lateen.ErrFunctionFailed, 500, "MIDDLEWARE_INVOCATION_FAILED"},
		{lateen.ErrFunctionNoResponse, 500, "MIDDLEWARE_INVOCATION_FAILED"},
		{lateen.ErrFunctionTimeout, 504, "MIDDLEWARE_INVOCATION_TIMEOUT"},
		{lateen.ErrFunctionThrottled, 503, "FUNCTION_THROTTLED"},
	} {
		failure = c.err
		resp, _ := s.get("/fn")
		is(t, resp, c.status, c.code)
	}
}

// The fleet never returns a response with an empty body value of net/http, because
// closing the body ends the lease.
func TestABare500OfAMiddlewareIsItsFailure(t *testing.T) {
	s := middlewareStage(t, next)
	text := ""
	s.options.Fleet = invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
		return &http.Response{StatusCode: 500, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}, nil
	})
	s.open()
	resp, _ := s.get("/fn")
	is(t, resp, 500, "MIDDLEWARE_INVOCATION_FAILED")
	text = "the site's own words"
	resp, body := s.get("/fn")
	if is(t, resp, 500, ""); body != text {
		t.Errorf("the client got %q", body)
	}
}
