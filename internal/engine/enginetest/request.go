package enginetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

func (s *Suite) exports(t *testing.T) {
	web := func(spec *lateen.FunctionSpec) { spec.Function.UseWebAPI = true }
	helpers := func(spec *lateen.FunctionSpec) { spec.Function.AddHelpers = true }
	lambda := func(name string) func(*lateen.FunctionSpec) {
		return func(spec *lateen.FunctionSpec) { spec.Function.AWSHandler = "lambda." + name }
	}
	for _, c := range []struct {
		handler string
		change  func(*lateen.FunctionSpec)
		want    string
	}{
		{"cjs.js", nil, "200 cjs GET /a/b?q=1"},
		{"esm.mjs", nil, "200 esm GET /a/b?q=1"},
		{"typed/index.js", nil, "200 typed GET /a/b?q=1"},
		{"detected.js", nil, "200 detected GET /a/b?q=1"},
		{"awaits.mjs", nil, "200 awaits GET /a/b?q=1"},
		{"awaits-detected.js", nil, "200 awaits-detected GET /a/b?q=1"},
		{"nested.js", nil, "200 nested GET /a/b?q=1"},
		{"async.js", nil, "200 async GET /a/b?q=1"},
		{"methods.mjs", nil, "200 methods GET /a/b?q=1"},
		{"fetch.mjs", nil, "200 fetch GET /a/b?q=1"},
		{"method-over-fetch.mjs", nil, "200 fetch"},
		{"class.mjs", nil, "200 class GET /a/b?q=1"},
		{"webapi.mjs", web, "200 webapi GET /a/b?q=1"},
		{"listen.js", nil, "200 listen GET /a/b?q=1"},
		{"listen-later.mjs", nil, "200 listen-later GET /a/b?q=1"},
		{"server.js", nil, "200 server GET /a/b?q=1"},
		{"express.js", helpers, "200 express GET /a/b?q=1 undefined"},
		{"lambda.js", lambda("handler"), "202 lambda GET /a/b 1 "},
		{"lambda.js", lambda("callback"), "200 callback GET"},
	} {
		t.Run(c.handler, func(t *testing.T) {
			f := s.start(t, "exports", c.handler, c.change)
			for range 2 { // the second request may fail even if the first succeeded
				if got := f.get("/a/b?q=1").String(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
	t.Run("methods without a handler are refused", func(t *testing.T) {
		f := s.start(t, "exports", "methods.mjs", nil)
		if got := f.do(f.request(http.MethodDelete, "/", nil)); got.status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE: %s", got)
		}
		if got := f.post("/", "application/json", `{"a":1}`).String(); got != `201 {"got":{"a":1}}` {
			t.Errorf("POST: %s", got)
		}
	})
	t.Run("a named method is preferred to fetch", func(t *testing.T) {
		f := s.start(t, "exports", "method-over-fetch.mjs", nil)
		if got := f.post("/", "", "x"); got.body != "method" {
			t.Errorf("POST: %s", got)
		}
	})
	t.Run("lambda events and results are whole", func(t *testing.T) {
		f := s.start(t, "exports", "lambda.js", lambda("handler"))
		got := f.post("/x?q=é", "text/plain", "the body")
		if got.body != "lambda POST /x é the body" || !slices.Equal(got.header["Set-Cookie"], []string{"a=1", "b=2"}) || !strings.HasPrefix(got.header.Get("X-Id"), "req_") {
			t.Errorf("got %s %v", got, got.header)
		}
	})
}

func (s *Suite) helpers(t *testing.T) {
	f := s.start(t, "node", "helpers.js", nil)
	t.Run("request", func(t *testing.T) {
		for _, c := range []struct{ contentType, body, want string }{
			{"application/json", `{"a":[1]}`, `{"a":[1]} object`},
			{"application/json; charset=utf-8", "", `{} object`},
			{"application/x-www-form-urlencoded", "a=1&b=x%20y&a=2", `{"a":["1","2"],"b":"x y"} object`},
			{"text/plain", "héllo", `"héllo" string`},
			{"application/octet-stream", "abc", `{"type":"Buffer","data":[97,98,99]} buffer`},
			{"image/png", "abc", `null undefined`},
			{"", "abc", `null undefined`},
		} {
			var got struct {
				Body json.RawMessage `json:"body"`
				Kind string          `json:"kind"`
			}
			if err := json.Unmarshal([]byte(f.post("/request", c.contentType, c.body).body), &got); err != nil {
				t.Fatal(err)
			}
			if text := string(got.Body) + " " + got.Kind; text != c.want {
				t.Errorf("%s %q: body %s, want %s", c.contentType, c.body, text, c.want)
			}
		}
		req := f.request(http.MethodGet, "/request?a=1&b=&a=2&c=%26", nil)
		req.Header.Set("Cookie", `x=1; y="quoted"; z=%20a; x=2; broken`)
		want := `{"query":{"a":["1","2"],"b":"","c":"&"},"cookies":{"x":"1","y":"quoted","z":" a"},"body":null,"kind":"undefined"}`
		if got := f.do(req).body; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if got := f.post("/request", "application/json", "{"); got.String() != "400 Invalid JSON" {
			t.Errorf("malformed JSON: %s", got)
		}
		if got := f.post("/raw", "text/plain", "read by hand"); got.body != "read by hand" {
			t.Errorf("a body that the function reads itself: %s", got)
		}
	})
	t.Run("response", func(t *testing.T) {
		for _, c := range []struct {
			target, want, contentType, tag string
		}{
			{"/text", "200 héllo", "text/html; charset=utf-8", `W/"6-`},
			{"/buffer", "200 bytes", "application/octet-stream", `W/"5-`},
			{"/object", `200 {"a":1}`, "application/json; charset=utf-8", `W/"7-`},
			{"/number", `200 42`, "application/json; charset=utf-8", `W/"2-`},
			{"/null", `200 `, "", `W/"0-2jmj7l5rSw0yVb/vlWAYkK/YBwk"`},
			{"/typed", "200 a,b", "text/csv; charset=utf-8", `W/"3-`},
			{"/tagged", "200 x", "text/html; charset=utf-8", `"mine"`},
			{"/nothing", "204 ", "", `W/"7-`},
			{"/teapot", `418 "short and stout"`, "application/json; charset=utf-8", `W/"11-`},
			{"/redirect", "307 ", "", ""},
			{"/moved", "301 ", "", ""},
		} {
			got := f.get(c.target)
			if got.String() != c.want || got.header.Get("Content-Type") != c.contentType || !strings.HasPrefix(got.header.Get("Etag"), c.tag) {
				t.Errorf("%s: got %s as %q with tag %s, want %s as %q with %s", c.target, got, got.header.Get("Content-Type"), got.header.Get("Etag"), c.want, c.contentType, c.tag)
			}
		}
		if got := f.get("/redirect").header.Get("Location"); got != "/there" {
			t.Errorf("redirect to %q", got)
		}
		if got := f.do(f.request(http.MethodHead, "/text", nil)); got.body != "" || got.header.Get("Content-Length") != "6" {
			t.Errorf("HEAD: %s %v", got, got.header)
		}
	})
	t.Run("a bad redirect is the function's error", func(t *testing.T) {
		_, err := f.try(f.request(http.MethodGet, "/bad-redirect", nil))
		fails(t, err, lateen.ErrFunctionFailed, "Invalid redirect arguments")
	})
}

func (s *Suite) headers(t *testing.T) {
	f := s.start(t, "node", "headers.js", nil)
	t.Run("both ways", func(t *testing.T) {
		req := f.request(http.MethodGet, "/", nil)
		req.Header = http.Header{
			"Accept": {"a", "b"}, "X-Vercel-Internal-Request-Id": {"99"}, "x-vercel-internal-SPAN-id": {"1"}, "Te": {"trailers"},
			"Connection": {"close"}, "User-Agent": {"me"}, "X-Long": {strings.Repeat("x", 50_000)}, "X-Latin": {"caf\xe9"},
		}
		got := f.do(req)
		var seen [3]any
		if err := json.Unmarshal([]byte(got.header.Get("X-Seen")), &seen); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"host": "example.com", "accept": "a, b", "user-agent": "me", "x-long": strings.Repeat("x", 50_000), "x-latin": "café"}
		if diff := cmp.Diff([3]any{want, 6.0, 5.0}, seen); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		if !slices.Equal(got.header["Set-Cookie"], []string{"a=1", "b=2"}) || got.header.Get("Connection") != "" || got.header.Get("Keep-Alive") != "" {
			t.Errorf("response header: %v", got.header)
		}
	})
	t.Run("responses without a body", func(t *testing.T) {
		for range 3 {
			if got := f.get("/none").String(); got != "204 " {
				t.Errorf("got %s", got)
			}
			if got := f.do(f.request(http.MethodHead, "/", nil)).String(); got != "200 " {
				t.Errorf("HEAD: %s", got)
			}
		}
	})
	t.Run("trailers", func(t *testing.T) {
		resp, err := f.RoundTrip(f.request(http.MethodGet, "/trailers", nil))
		if err != nil {
			t.Fatal(err)
		}
		if body, trailer := readAll(t, resp), resp.Trailer.Get("X-Trailer"); body != "some body" || trailer != "last" {
			t.Errorf("got %q with the trailer %q", body, trailer)
		}
	})
	t.Run("malformed requests are refused", func(t *testing.T) {
		req := f.request(http.MethodGet, "/", nil)
		req.URL.Path, req.URL.RawPath, req.URL.Opaque = "", "", "/a b\r\nx: y"
		_, err := f.try(req)
		fails(t, err, lateen.ErrInvalid, "malformed")
		req = f.request(http.MethodGet, "/", nil)
		req.Header["X-Evil"] = []string{"a\r\nX-Injected: 1"}
		if got := f.do(req).header.Get("X-Seen"); strings.Contains(got, "injected") {
			t.Errorf("the function got %s", got)
		}
		f.idles()
	})
	t.Run("web", func(t *testing.T) {
		f := s.start(t, "node", "headers-web.mjs", nil)
		got := f.get("/p/a?q=1")
		if got.header.Get("X-Url") != "https://example.com/p/a?q=1" || got.header.Get("X-Internal") != "0" || !slices.Equal(got.header["Set-Cookie"], []string{"a=1", "b=2"}) {
			t.Errorf("response header: %v", got.header)
		}
		req := f.request(http.MethodGet, "/", nil)
		req.URL.Path = "//other.example/x"
		if got := f.do(req).header.Get("X-Url"); got != "https://example.com//other.example/x" {
			t.Errorf("URL of a path with two slashes: %s", got)
		}
		if got := f.do(f.request(http.MethodHead, "/", nil)); got.header.Get("X-Head") != "yes" {
			t.Errorf("HEAD: %s %v", got, got.header)
		}
		if got := f.do(f.request(http.MethodOptions, "/", nil)); got.String() != "204 " {
			t.Errorf("OPTIONS: %s", got)
		}
	})
}
