//go:build e2e

package e2e_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checkNextjs checks the Next.js example.
func checkNextjs(t *testing.T, s site) {
	t.Run("pages", func(t *testing.T) { checkNextPages(t, s) })
	t.Run("endpoints", func(t *testing.T) { checkNextEndpoints(t, s) })
	t.Run("middleware", func(t *testing.T) { checkNextMiddleware(t, s) })
	t.Run("navigation", func(t *testing.T) { checkNextNavigation(t, s) })
	t.Run("server action", func(t *testing.T) { checkServerAction(t, s) })
	t.Run("regeneration", func(t *testing.T) { checkRegeneration(t, s, "/isr") })
	t.Run("revalidation", func(t *testing.T) { checkRevalidation(t, s) })
	t.Run("first visits", func(t *testing.T) { checkFirstVisits(t, s) })
	t.Run("draft mode", func(t *testing.T) { checkDraft(t, s) })
	t.Run("work after the response", func(t *testing.T) {
		s.tell(t)
		r := s.get(t, "/api/after?marker=aft")
		s.logged(t, r.requestID(), "after the response, marker aft")
		r = s.get(t, "/api/log?marker=fore")
		s.logged(t, r.requestID(), "log line, marker fore", "error line, marker fore")
	})
}

func checkNextPages(t *testing.T, s site) {
	host := fmt.Sprintf("%s:%d", s.host, s.port)
	s.expect(t,
		want{path: "/", facts: map[string]string{"served-as": "static"}, has: map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Example": "nextjs", "X-Middleware": "1", "X-Next-Cache-Tags": "", "X-Matched-Path": "/",
		}},
		want{path: "/isr", facts: map[string]string{"served-as": "isr", "draft": "off"}, has: map[string]string{"X-Next-Cache-Tags": ""}},
		want{path: "/posts/hoist", facts: map[string]string{"served-as": "prerender", "slug": "hoist"}},
		want{path: "/posts/trim", facts: map[string]string{"served-as": "prerender", "slug": "trim"}},
		// Parameters of its app router stay encoded, as with next start.
		want{path: "/posts/a%2Fb", facts: map[string]string{"slug": "a%2Fb"}},
		want{path: "/posts/100%25", facts: map[string]string{"slug": "100%25"}},
		want{path: "/posts/100%2525", facts: map[string]string{"slug": "100%2525"}},
		want{path: "/posts/caf%C3%A9%20%23%3F", facts: map[string]string{"slug": "caf%C3%A9%20%23%3F"}},
		want{path: "/dynamic?hello=world&a=1&a=2", header: []string{"User-Agent", "e2e", "X-Demo", "yes", "Cookie", "one=1; two=2"}, facts: map[string]string{
			"served-as": "function", "host": host, "user-agent": "e2e", "x-demo": "yes", "from-middleware": "/dynamic", "cookies": "one=1; two=2",
			"search": `{"hello":"world","a":["1","2"]}`,
		}},
		want{path: "/hello", facts: map[string]string{"served-as": "function", "search": `{"from":"config"}`, "from-middleware": "/hello"}},
		want{path: "/hello?more=1", facts: map[string]string{"search": `{"from":"config","more":"1"}`}},
		want{path: "/home", status: 308, location: "/"},
		want{path: "/dynamic/", status: 308, location: "/dynamic"},
		want{path: "/form", facts: map[string]string{"crew": "nobody yet", "crew-size": "0"}},
		want{path: "/icon.svg", has: map[string]string{"Content-Type": "image/svg+xml", "X-Middleware": ""}},

		want{path: "/nowhere", status: 404, facts: map[string]string{"not-found": "Nothing on this heading"}},
		want{path: "/posts/lost", status: 404},
		want{path: "/boom", status: 500},
		want{path: "/_next/static/nothing.js", status: 404},
	)
	t.Run("files", func(t *testing.T) {
		static := filepath.Join(built(t, tested(t)), ".vercel", "output", "static")
		names, err := filepath.Glob(filepath.Join(static, "_next", "static", "*", "*.css"))
		if err != nil || len(names) == 0 {
			t.Fatalf("the example has no style sheet: %v", err)
		}
		path := filepath.ToSlash(strings.TrimPrefix(names[0], static))
		if r := s.get(t, path); r.Header.Get("Cache-Control") != "public,max-age=31536000,immutable" {
			t.Errorf("cache-control of a file that never changes: %q", r.Header.Get("Cache-Control"))
		}
		checkFiles(t, s, path, names[0])
	})
}

func checkNextEndpoints(t *testing.T, s site) {
	s.expect(t,
		// Next.js takes every platform's requests for https.
		want{path: "/api/hello?name=Ada", has: map[string]string{"X-Hello": "Ada"}, json: map[string]string{"hello": "Ada", "url": strings.Replace(s.address("/api/hello?name=Ada"), "http:", "https:", 1)}},
		want{method: http.MethodPost, path: "/api/hello", body: `{"x":1}`, status: 201, json: map[string]any{"echo": map[string]int{"x": 1}}},
		want{name: "malformed JSON", method: http.MethodPost, path: "/api/hello", body: `{"x":`, status: 400},
		want{method: http.MethodDelete, path: "/api/hello", status: 405},
		want{path: "/api/edge?name=Ada", header: []string{"User-Agent", "e2e"}, json: map[string]string{"runtime": "vercel", "name": "Ada", "userAgent": "e2e"}},
		want{path: "/api/error", status: 500},
		want{name: "after an error", path: "/api/hello", contains: []string{"world"}},
	)
	s.expectStream(t, "/api/stream", 5)
}

func checkNextMiddleware(t *testing.T, s site) {
	moved := "/dynamic"
	if tested(t) != "nextjs" { // older versions name the whole URL
		moved = s.address(moved)
	}
	s.expect(t,
		want{path: "/old", status: 307, location: moved},
		want{path: "/rewritten", facts: map[string]string{"search": `{"from":"rewrite"}`, "from-middleware": "/rewritten"}, has: map[string]string{"X-Middleware": "1"}},
		want{path: "/blocked", status: 403, json: map[string]string{"error": "blocked by middleware"}},
		want{name: "a client cannot skip it", path: "/blocked", header: []string{"X-Middleware-Subrequest", "middleware:middleware:middleware:middleware:middleware"}, status: 403},
		want{name: "a client cannot speak for it", path: "/dynamic", header: []string{"X-From-Middleware", "a client"}, facts: map[string]string{"from-middleware": "/dynamic"}},
	)
}

// checkNextNavigation sends the requests of Next.js's own router in a browser.
func checkNextNavigation(t *testing.T, s site) {
	rsc := func(path string, further ...string) want {
		return want{
			name: "RSC of " + path + " " + strings.Join(further, " "), path: path + "?_rsc=abc12", header: append([]string{"RSC", "1"}, further...),
			has: map[string]string{"Content-Type": "text/x-component"},
		}
	}
	s.expect(t,
		rsc("/"), rsc("/isr"), rsc("/dynamic"), rsc("/form"), rsc("/posts/hoist"), rsc("/posts/at-first-rsc"),
		rsc("/", "Next-Router-Prefetch", "1", "Next-Router-Segment-Prefetch", "/_tree"),
		rsc("/posts/hoist", "Next-Router-Prefetch", "1", "Next-Router-Segment-Prefetch", "/_tree"),
	)
	r := s.get(t, "/")
	for _, name := range []string{"RSC", "Next-Router-State-Tree"} {
		if !strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Vary"), ",")), strings.ToLower(name)) {
			t.Errorf("the page does not vary by %s: %q", name, r.Header.Values("Vary"))
		}
	}
}

var hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)"(?: value="([^"]*)")?/>`)

// checkServerAction sends the form as a browser without JavaScript does.
func checkServerAction(t *testing.T, s site) {
	s.tell(t)
	page := s.get(t, "/form")
	var form bytes.Buffer
	fields := multipart.NewWriter(&form)
	hidden := hiddenPattern.FindAllStringSubmatch(page.Body, -1)
	if len(hidden) == 0 {
		t.Fatalf("the form has no hidden fields:\n%s", clip(page.Body))
	}
	for _, field := range hidden {
		value := strings.NewReplacer("&quot;", `"`, "&amp;", "&").Replace(field[2])
		if err := fields.WriteField(field[1], value); err != nil {
			t.Fatal(err)
		}
	}
	if err := fields.WriteField("name", "Grace"); err != nil {
		t.Fatal(err)
	}
	fields.Close()
	r := s.post(t, "/form", fields.FormDataContentType(), form.String(), withHeader("Origin", strings.TrimSuffix(s.address("/"), "/")), withCookie("crew=Ada"))
	crew := "Ada, Grace"
	if tested(t) == "nextjs-14" { // whose pages see the cookies of the request
		crew = "Ada"
	}
	if r.Status != http.StatusOK || r.fact("greeting") != "Welcome aboard, Grace!" || r.fact("crew") != crew {
		t.Errorf("the form answers %d %q, crew %q\n%s", r.Status, r.fact("greeting"), r.fact("crew"), headerText(r.Header))
	}
	if !strings.HasPrefix(r.Header.Get("Set-Cookie"), "crew=Ada%2CGrace") {
		t.Errorf("the action set the cookie %q", r.Header.Get("Set-Cookie"))
	}
	if r := s.get(t, "/form", withCookie("crew=Ada%2CGrace")); r.fact("crew-size") != "2" {
		t.Errorf("the crew is %q", r.fact("crew"))
	}
	foreign := s.post(t, "/form", fields.FormDataContentType(), form.String(), withHeader("Origin", "https://evil.example"))
	if foreign.Status == http.StatusOK && foreign.fact("greeting") != "" {
		t.Error("another site may call the action")
	}
}

// checkRevalidation checks that a page is regenerated when its tag or path is
// revalidated.
func checkRevalidation(t *testing.T, s site) {
	s.tell(t)
	if tested(t) == "nextjs-14" { // which answers with the page that it made less than a second ago
		checkTag(t, s)
		return
	}
	for _, by := range []string{"tag=clock", "path=/isr"} {
		before, _ := s.kept(t, "/isr")
		if r := s.get(t, "/api/revalidate?"+by); r.Status != http.StatusOK {
			t.Fatalf("revalidate answers %d %s", r.Status, clip(r.Body))
		}
		asked := time.Now()
		after, state := s.kept(t, "/isr")
		if at := moment(t, after.fact("rendered-at")); !at.After(asked.Add(-time.Second)) || after.fact("rendered-at") == before.fact("rendered-at") {
			t.Errorf("after %s the page is %s and from %s, before it was from %s", by, state, after.fact("rendered-at"), before.fact("rendered-at"))
		}
		if state != "REVALIDATED" && state != "MISS" {
			t.Errorf("after %s the page is %s", by, state)
		}
		if by == "tag=clock" && after.fact("clock") == before.fact("clock") {
			t.Errorf("after %s the clock is still %s", by, after.fact("clock"))
		}
	}
}

// checkTag checks that data is read again once its tag is revalidated.
func checkTag(t *testing.T, s site) {
	before, _ := s.kept(t, "/isr")
	if r := s.get(t, "/api/revalidate?tag=clock"); r.Status != http.StatusOK {
		t.Fatalf("revalidate answers %d %s", r.Status, clip(r.Body))
	}
	eventually(t, func() error {
		if after, state := s.kept(t, "/isr"); after.fact("clock") == before.fact("clock") {
			return fmt.Errorf("the page is %s and its clock still %s", state, after.fact("clock"))
		}
		return nil
	})
}

// checkFirstVisits checks that a page of many is rendered at its first request,
// once.
func checkFirstVisits(t *testing.T, s site) {
	s.tell(t)
	path := fmt.Sprintf("/posts/p%d", time.Now().UnixNano())
	first, state := s.kept(t, path)
	if state != "MISS" || first.fact("slug") != strings.TrimPrefix(path, "/posts/") {
		t.Errorf("the first visit is %s of %q", state, first.fact("slug"))
	}
	second, state := s.kept(t, path)
	if second.fact("rendered-at") != first.fact("rendered-at") {
		t.Errorf("the second visit is %s, from %s and not %s", state, second.fact("rendered-at"), first.fact("rendered-at"))
	}
	with, _ := s.kept(t, path+"?unknown=1")
	if with.fact("rendered-at") != first.fact("rendered-at") {
		t.Error("a parameter that the page does not read makes a page of its own")
	}
}

func checkDraft(t *testing.T, s site) {
	s.tell(t)
	enable := s.get(t, "/draft")
	cookie, _, _ := strings.Cut(enable.Header.Get("Set-Cookie"), ";")
	if enable.Status != http.StatusTemporaryRedirect || enable.Header.Get("Location") != "/isr" || !strings.HasPrefix(cookie, "__prerender_bypass=") {
		t.Fatalf("%d %s", enable.Status, headerText(enable.Header))
	}
	draft, state := s.kept(t, "/isr", withCookie(cookie))
	if draft.fact("draft") != "on" || state != "BYPASS" {
		t.Errorf("a draft is %s with draft %q", state, draft.fact("draft"))
	}
	again, _ := s.kept(t, "/isr", withCookie(cookie))
	if again.fact("rendered-at") == draft.fact("rendered-at") {
		t.Error("a draft is kept")
	}
	if others, _ := s.kept(t, "/isr"); others.fact("draft") != "off" {
		t.Error("a draft is served to others")
	}
	if guess, _ := s.kept(t, "/isr", withCookie("__prerender_bypass=00000000000000000000000000000000")); guess.fact("draft") != "off" {
		t.Error("any cookie turns draft mode on")
	}
}
