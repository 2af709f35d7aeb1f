package edge

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestErrorPagesFollowAccept(t *testing.T) {
	s := newStage(t).open()
	for accept, want := range map[string]string{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"application/json": "application/json; charset=utf-8", "application/json, text/plain, */*": "application/json; charset=utf-8",
		"*/*": "text/plain; charset=utf-8", "": "text/plain; charset=utf-8", "image/png": "text/plain; charset=utf-8",
		"text/html;q=0.1, application/json": "application/json; charset=utf-8", "text/*": "text/plain; charset=utf-8",
	} {
		resp, body := s.get("/nothing", "Accept: "+accept)
		is(t, resp, 404, "NOT_FOUND")
		has(t, resp.Header, "Content-Type", want)
		has(t, resp.Header, "Cache-Control", "public, max-age=0, must-revalidate")
		has(t, resp.Header, "Vary", "Accept")
		id := strings.TrimPrefix(resp.Header.Get("X-Vercel-Id"), "dev1::")
		if !strings.Contains(body, id) || !strings.Contains(body, "NOT_FOUND") || len(body) > 4096 {
			t.Errorf("accepting %q: %s", accept, body)
		}
		if strings.HasPrefix(want, "application/json") {
			var got struct {
				Error struct {
					Code    string `json:"code"`
					Message string `json:"message"`
					Request string `json:"requestId"`
				} `json:"error"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.Error.Code != "NOT_FOUND" || got.Error.Request != id || got.Error.Message == "" {
				t.Errorf("%v: %+v", err, got)
			}
		}
	}
	resp, body := s.do("HEAD", "/nothing", nil)
	if is(t, resp, 404, "NOT_FOUND"); body != "" || resp.ContentLength <= 0 {
		t.Errorf("HEAD: Content-Length %d, body %q", resp.ContentLength, body)
	}
}

func TestADeploymentsOwnErrorPages(t *testing.T) {
	s := newStage(t)
	s.file("/missing.html", "text/html", "our 404")
	s.file("/500.html", "text/html", "our 500")
	s.function("/fn", lateen.Function{})
	s.function("/worse", lateen.Function{})
	s.function("/oops", lateen.Function{})
	s.manifest.Routes = []lateen.Route{
		{Handle: "filesystem"},
		{Handle: "error"},
		{Status: 404, Src: "^(?!/api).*$", Dest: "/missing.html"},
		{Status: 500, Src: "^/fn$", Dest: "/500.html"},
		{Status: 500, Src: "^/worse$", Dest: "/oops"},
	}
	s.options.Fleet = invoker(func(_ context.Context, spec lateen.FunctionSpec, _ *http.Request, _ *lateen.Invocation) (*http.Response, error) {
		if spec.Name == "/oops" {
			return nil, lateen.ErrFunctionTimeout
		}
		return nil, lateen.ErrFunctionFailed
	})
	s.open()
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/nothing", "our 404", 404, ""},
		{"POST", "/nothing", "our 404", 404, ""},
		{"GET", "/api/nothing", "", 404, "NOT_FOUND"},
		{"GET", "/fn", "our 500", 500, "FUNCTION_INVOCATION_FAILED"},
		{"POST", "/fn", "our 500", 500, "FUNCTION_INVOCATION_FAILED"},
		{"GET", "/worse", "", 500, "FUNCTION_INVOCATION_FAILED"}, // the function of its error page fails, too
	} {
		resp, body := s.do(c.method, c.path, nil)
		is(t, resp, c.status, c.code)
		if c.body != "" && body != c.body {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, body, c.body)
		}
	}
	if r := s.record(5); r.Error != "function_invocation_failed" {
		t.Errorf("recorded: %s", r.Error)
	}
	resp, body := s.get("/nothing", "If-None-Match: *", "Range: bytes=0-1")
	if is(t, resp, 404, ""); body != "our 404" {
		t.Errorf("a condition changed the error page: %q", body)
	}
}

func TestAnErrorPageOfAFunctionIsSentWhole(t *testing.T) { // RFC 9110 §13.1 and §14.2 apply to the resource, not to its error page
	s := newStage(t)
	s.function("/_not-found", lateen.Function{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"page"`)
		http.ServeContent(w, r, "page.txt", time.Time{}, strings.NewReader("this page does not exist"))
	})
	s.manifest.Routes = []lateen.Route{{Handle: "error"}, {Src: "/.*", Status: 404, Dest: "/_not-found"}}
	s.open()
	for _, header := range []string{`If-None-Match: "page"`, "If-None-Match: *", `If-Match: "other"`, "Range: bytes=0-3", "If-Modified-Since: Tue, 01 Dec 2026 08:00:00 GMT"} {
		if resp, body := s.get("/gone", header); resp.StatusCode != 404 || body != "this page does not exist" || resp.Header.Get("Content-Range") != "" {
			t.Errorf("%s: %d %q %v", header, resp.StatusCode, body, resp.Header)
		}
	}
}

// A route with a status and without a destination sets the status of an existing file,
// which is sent complete even if the request has conditions. Without a file, the status
// is an error.
func TestAFileIsSentWithTheStatusOfItsRoute(t *testing.T) {
	s := newStage(t)
	s.file("/private/report.txt", "text/plain", "not for everybody")
	s.manifest.Routes = []lateen.Route{{Src: "^/private/.*$", Status: 401}, {Handle: "filesystem"}}
	s.open()
	for _, header := range []string{"Accept: */*", "Range: bytes=0-3", "If-None-Match: *"} {
		resp, body := s.get("/private/report.txt", header)
		if is(t, resp, 401, ""); body != "not for everybody" {
			t.Errorf("%s: %q", header, body)
		}
	}
	resp, _ := s.get("/private/nothing.txt")
	is(t, resp, 401, "UNAUTHORIZED")
}
