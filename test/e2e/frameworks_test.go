//go:build e2e

package e2e_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checkSvelteKit checks the SvelteKit example.
func checkSvelteKit(t *testing.T, s site) {
	own := origin(t, s)
	host := fmt.Sprintf("%s:%d", s.host, s.port)
	s.expect(t,
		want{path: "/", facts: map[string]string{"served-as": "static"}, has: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		want{path: "/ssr?hello=world", header: []string{"User-Agent", "e2e", "Cookie", "one=1; two=2"}, facts: map[string]string{
			"served-as": "function", "host": host, "client": "127.0.0.1", "user-agent": "e2e", "cookies": "one=1; two=2", "search": "?hello=world",
		}},
		want{path: "/ssr/__data.json", has: map[string]string{"Content-Type": "application/json"}, contains: []string{`"type":"data"`}},
		want{path: "/isr/__data.json", contains: []string{`"type":"data"`}},
		want{path: "/posts/hoist", facts: map[string]string{"served-as": "isr", "slug": "hoist"}},
		want{path: "/posts/a%2Fb", facts: map[string]string{"slug": "a/b"}},
		want{path: "/posts/100%25", facts: map[string]string{"slug": "100%"}},
		want{path: "/posts/100%2525", facts: map[string]string{"slug": "100%25"}},
		want{path: "/posts/caf%C3%A9%20%23%3F", facts: map[string]string{"slug": "café #?"}},
		want{path: "/posts/lost", status: 404, facts: map[string]string{"error": "404"}},
		want{name: "a parameter only the platform may set", path: "/ssr?__pathname=/boom", facts: map[string]string{"served-as": "function", "search": "none"}},
		want{path: "/api/hello?name=Ada", json: map[string]string{"hello": "Ada", "url": own + "/api/hello?name=Ada"}},
		want{method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/hello", body: `{`, status: 400},
		want{method: http.MethodDelete, path: "/api/hello", status: 405},
		want{path: "/api/edge?x=1", json: map[string]string{"runtime": "edge-runtime", "url": s.address("/api/edge?x=1")}},
		want{path: "/boom", status: 500, facts: map[string]string{"error": "500"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/ssr/", status: 308, location: "/ssr"},
	)
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/isr") })
	t.Run("first visits", func(t *testing.T) {
		s.tell(t)
		path := fmt.Sprintf("/posts/p%d", time.Now().UnixNano())
		first, state := s.kept(t, path)
		eventually(t, func() error { // the response ends before the page is kept
			second, again := s.kept(t, path)
			if first.fact("rendered-at") != second.fact("rendered-at") {
				t.Fatalf("the first visit is %s, the second %s with a page of its own", state, again)
			}
			if again != "HIT" {
				return fmt.Errorf("the first visit is %s, the second %s", state, again)
			}
			return nil
		})
		if state != "MISS" {
			t.Errorf("the first visit is %s", state)
		}
	})
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream", 2) })
	t.Run("form action", func(t *testing.T) { checkFormAction(t, s) })
}

// origin is that of the site as SvelteKit sees it.
func origin(t *testing.T, s site) string {
	t.Helper()
	own := strings.TrimSuffix(s.address("/"), "/")
	if tested(t) == "sveltekit-4" { // whose adapter takes every platform's requests for https
		own = strings.Replace(own, "http:", "https:", 1)
	}
	return own
}

// checkFormAction sends SvelteKit's form as a browser without JavaScript does.
func checkFormAction(t *testing.T, s site) {
	s.tell(t)
	own := origin(t, s)
	form := url.Values{"name": {"Grace"}}.Encode()
	const kind = "application/x-www-form-urlencoded"
	r := s.post(t, "/form", kind, form, withHeader("Origin", own), withHeader("Accept", "text/html"), withCookie("crew=Ada"))
	if r.Status != http.StatusOK || r.fact("greeting") != "Welcome aboard, Grace!" || r.fact("crew") != "Ada, Grace" {
		t.Errorf("the form answers %d %q, crew %q\n%s", r.Status, r.fact("greeting"), r.fact("crew"), headerText(r.Header))
	}
	if r := s.post(t, "/form", kind, "name=", withHeader("Origin", own), withHeader("Accept", "text/html")); r.Status != http.StatusBadRequest {
		t.Errorf("an empty form answers %d", r.Status)
	}
	if r := s.post(t, "/form", kind, form, withHeader("Origin", "https://evil.example")); r.Status != http.StatusForbidden {
		t.Errorf("another site's form answers %d", r.Status)
	}
}

// checkAstro checks the Astro example.
func checkAstro(t *testing.T, s site) {
	host := fmt.Sprintf("%s:%d", s.host, s.port)
	s.expect(t,
		want{path: "/", facts: map[string]string{"served-as": "static"}},
		want{path: "/posts/hoist", facts: map[string]string{"served-as": "static", "slug": "hoist"}},
		want{path: "/posts/trim/", facts: map[string]string{"served-as": "static", "slug": "trim"}},
		want{path: "/ssr?hello=world", header: []string{"User-Agent", "e2e"}, facts: map[string]string{
			"served-as": "function", "host": host, "user-agent": "e2e", "search": "?hello=world", "visits": "1",
		}, has: map[string]string{"X-Middleware": "1", "Set-Cookie": "visits=1; Path=/; HttpOnly"}},
		want{name: "a second visit", path: "/ssr", header: []string{"Cookie", "visits=1"}, facts: map[string]string{"visits": "2"}},
		want{path: "/api/hello?name=Ada", json: map[string]string{"hello": "Ada", "url": s.address("/api/hello?name=Ada")}},
		want{method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{`, status: 400},
		want{path: "/boom", status: 500},
		want{path: "/nowhere", status: 404, contains: []string{`data-testid="not-found"`}},
	)
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/isr") })
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream", 2) })
}

// checkNuxt checks the Nuxt example.
func checkNuxt(t *testing.T, s site) {
	host := fmt.Sprintf("%s:%d", s.host, s.port)
	s.expect(t,
		want{path: "/", facts: map[string]string{"served-as": "static"}},
		want{path: "/ssr?hello=world", header: []string{"User-Agent", "e2e", "Cookie", "one=1"}, facts: map[string]string{
			"served-as": "function", "host": host, "user-agent": "e2e", "cookies": "one=1", "search": `{"hello":"world"}`,
		}},
		want{path: "/posts/hoist", facts: map[string]string{"served-as": "function", "slug": "hoist"}},
		want{path: "/posts/lost", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/swr", facts: map[string]string{"served-as": "function"}},
		want{path: "/home", status: 301, location: "/"},
		want{path: "/api/hello?name=Ada", has: map[string]string{"X-Example": "nuxt"}, json: map[string]string{"hello": "Ada", "url": s.address("/api/hello?name=Ada")}},
		want{method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{`, status: 400},
		want{path: "/boom", status: 500, facts: map[string]string{"error": "500"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/isr/_payload.json"},
	)
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/isr") })
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream", 5) })
}

// checkHono checks the Hono example.
func checkReactRouter(t *testing.T, s site) {
	s.expect(t,
		want{path: "/?x=1", header: []string{"User-Agent", "e2e"}, facts: map[string]string{"url": s.address("/?x=1"), "user-agent": "e2e"}},
		want{path: "/_root.data", contains: []string{`"routes/home"`}},
		want{path: "/posts/caf%C3%A9%20%25%2Fx", facts: map[string]string{"slug": "café %/x"}},
		want{path: "/posts/x.data", contains: []string{`"slug","x"`}},
		want{path: "/posts/lost", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/api/hello?name=Ada", json: map[string]string{"hello": "Ada"}},
		want{method: http.MethodPost, path: "/api/hello", body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/boom", status: 500, facts: map[string]string{"error": "500"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
	)
	t.Run("form action", func(t *testing.T) {
		s.tell(t)
		r := s.post(t, "/form", "application/x-www-form-urlencoded", "name=Grace", withHeader("Origin", strings.TrimSuffix(s.address("/"), "/")))
		if r.Status != http.StatusOK || r.fact("greeting") != "Welcome aboard, Grace!" {
			t.Errorf("the form answers %d %q", r.Status, r.fact("greeting"))
		}
	})
}

func checkTanStackStart(t *testing.T, s site) {
	s.expect(t,
		want{path: "/", facts: map[string]string{"runtime": "node 24"}},
		want{path: "/posts/caf%C3%A9%20%25%2Fx", facts: map[string]string{"slug": "café %/x"}},
		want{path: "/posts/lost", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/api/hello?x=1", json: map[string]string{"url": s.address("/api/hello?x=1")}},
		want{method: http.MethodPost, path: "/api/hello", body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
	)
}

func checkNitro(t *testing.T, s site) {
	s.expect(t,
		want{path: "/", contains: []string{"Nitro on Lateen"}},
		want{path: "/api/hello/a%2Fb?x=1", has: map[string]string{"X-Example": "nitro"}, json: map[string]any{
			"hello": "a/b", "query": map[string]string{"x": "1"}, "url": s.address("/api/hello/a%2Fb?x=1"),
		}},
		want{method: http.MethodPost, path: "/api/echo", header: []string{"Content-Type", "application/json"}, body: `{"x":1}`, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{path: "/kept/caf%C3%A9%2F100%25", contains: []string{`"name":"café/100%"`}},
		want{path: "/old", status: 308, location: "/"},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/boom", status: 500, contains: []string{"Rocks ahead"}},
		want{path: "/nowhere", status: 404},
	)
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream", 2) })
}

func checkHono(t *testing.T, s site) {
	own := map[string]string{"X-Framework": "hono"}
	s.expect(t,
		want{path: "/", facts: map[string]string{"served-as": "function"}, has: own},
		want{path: "/style.css", has: map[string]string{"Content-Type": "text/css; charset=utf-8", "X-Framework": ""}},
		want{path: "/api/hello?name=Ada", has: own, json: map[string]string{"hello": "Ada", "url": s.address("/api/hello?name=Ada")}},
		want{path: "/api/users/42", json: map[string]string{"id": "42"}},
		want{method: http.MethodPost, path: "/api/echo", body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/echo", body: `{`, status: 400},
		want{path: "/home", status: 301, location: "/"},
		want{path: "/boom", status: 500, json: map[string]string{"error": "boom: this route always throws"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"not-found": "Nothing on this heading"}, has: own},
	)
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/events", 5) })
}

func checkSolidStart(t *testing.T, s site) {
	s.expect(t,
		want{path: "/", has: map[string]string{"X-Vercel-Cache": "HIT"}, contains: []string{"SolidStart on Lateen"}},
		want{path: "/posts/caf%C3%A9%20%25%2Fx?x=%2F", header: []string{"Cookie", "one=1; two=2"}, facts: map[string]string{
			"slug": "caf%C3%A9%20%25%2Fx", "cookies": "one=1; two=2", "url": s.address("/posts/caf%C3%A9%20%25%2Fx?x=%2F"),
		}},
		want{path: "/posts/lost", status: 404, facts: map[string]string{"error": "404"}},
		want{path: "/api/hello?x=1", has: map[string]string{"X-Example": "solid-start"}, json: map[string]string{"url": s.address("/api/hello?x=1")}},
		want{method: http.MethodPost, path: "/api/hello", body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{path: "/home", status: 301, location: "/"},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/boom", status: 500, facts: map[string]string{"error": "500"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
	)
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/kept") })
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream", 2) })
	t.Run("immutable files", func(t *testing.T) { s.expectImmutable(t, "/", "/_build/assets/") })
	t.Run("form action", func(t *testing.T) {
		s.tell(t)
		r := s.post(t, s.attribute(t, "/form", "action"), "application/x-www-form-urlencoded", "name=Grace", withHeader("Referer", s.address("/form")))
		if r.Status != http.StatusFound || r.Header.Get("Location") != s.address("/form") {
			t.Fatalf("the form answers %d, to %q", r.Status, r.Header.Get("Location"))
		}
		flash, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
		if after := s.get(t, "/form", withCookie(flash)); after.fact("greeting") != "Welcome aboard, Grace!" {
			t.Errorf("the page after the form says %q", after.fact("greeting"))
		}
	})
}

// checkQwikCity checks an application of Qwik City in its edge function.
func checkQwikCity(t *testing.T, s site) {
	own := strings.TrimSuffix(s.address("/"), "/")
	s.expect(t,
		want{path: "/", contains: []string{"Qwik City on Lateen"}},
		want{path: "/about/", has: map[string]string{"X-Vercel-Cache": "HIT"}, contains: []string{`data-testid="rendered-at"`}},
		want{path: "/posts/caf%C3%A9%20%25%2Fx/?x=%2F", header: []string{"Cookie", "visits=3; one=1"}, facts: map[string]string{
			"slug": "café %/x", "visits": "4", "url": s.address("/posts/caf%C3%A9%20%25%2Fx/?x=%2F"),
		}, has: map[string]string{"Set-Cookie": "visits=4; HttpOnly; Path=/"}},
		want{path: "/posts/hoist/q-data.json", contains: []string{`"hoist"`}},
		want{path: "/posts/hoist", status: 301, location: "/posts/hoist/"},
		want{path: "/posts/lost/", status: 404, contains: []string{"No such post"}},
		want{path: "/api/hello/?x=1", has: map[string]string{"X-Example": "qwik-city"}, json: map[string]string{"runtime": "edge-runtime", "url": s.address("/api/hello/?x=1")}},
		want{method: http.MethodPost, path: "/api/hello/", header: []string{"Content-Type", "application/json", "Origin", own}, body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "another site's POST", method: http.MethodPost, path: "/form/", header: []string{"Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example"}, body: "name=Grace", status: 403},
		want{path: "/moved/", status: 308, location: "/about/"},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/nowhere/", status: 404, facts: map[string]string{"error": "404"}},
	)
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/stream/", 2) })
	t.Run("action", func(t *testing.T) {
		s.tell(t)
		r := s.post(t, "/form/"+s.attribute(t, "/form/", "action"), "application/x-www-form-urlencoded", "name=Grace", withHeader("Origin", own))
		if r.Status != http.StatusOK || r.fact("greeting") != "Welcome aboard, Grace!" {
			t.Errorf("the form answers %d %q", r.Status, r.fact("greeting"))
		}
	})
}

func checkAnalog(t *testing.T, s site) {
	s.expect(t,
		want{path: "/", contains: []string{"Analog on Lateen"}},
		want{path: "/about", has: map[string]string{"X-Vercel-Cache": "HIT"}, contains: []string{`data-testid="rendered-at"`}},
		want{path: "/posts/caf%C3%A9%20x", header: []string{"Cookie", "one=1"}, facts: map[string]string{"slug": "café x", "cookies": "one=1"}},
		want{path: "/api/_analog/pages/posts/caf%C3%A9%20x", json: map[string]string{"slug": "café x"}},
		want{method: http.MethodPost, path: "/api/_analog/pages/form", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, body: "name=Grace", json: map[string]string{"greeting": "Welcome aboard, Grace!"}},
		want{path: "/api/hello?x=1", json: map[string]string{"url": s.address("/api/hello?x=1")}},
		want{method: http.MethodPost, path: "/api/hello", header: []string{"Content-Type", "application/json"}, body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{path: "/home", status: 301, location: "/about"},
		want{path: "/note.txt", contains: []string{"a file"}},
		want{path: "/nowhere", status: 404, facts: map[string]string{"error": "404"}},
	)
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/kept") })
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/api/stream", 2) })
}

// attribute is the value of the first attribute of a name on a page.
func (s site) attribute(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(s.get(t, page).Body, " "+name+`="`)
	if !found {
		t.Fatalf("%s has no attribute %s", page, name)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(value)
}

// expectImmutable fails unless a page names a file below a folder that clients may keep for good.
func (s site) expectImmutable(t *testing.T, page, folder string) {
	t.Helper()
	s.tell(t)
	file := regexp.MustCompile(regexp.QuoteMeta(folder) + `[\w./-]+`).FindString(s.get(t, page).Body)
	if file == "" {
		t.Fatalf("%s names no file below %s", page, folder)
	}
	r := s.get(t, file)
	if control := r.Header.Get("Cache-Control"); r.Status != http.StatusOK || control != "public, max-age=31536000, immutable" {
		t.Errorf("%s answers %d, Cache-Control %q", file, r.Status, control)
	}
}
