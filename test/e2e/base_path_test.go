//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// basePath is the application in testdata/apps/next-base-path, which has all under /docs.
type basePath struct {
	site

	data string // the path of its data: /docs/_next/data and the ID of the build
}

// The values are those of `next start`, except where the build output itself differs.
func TestNextjsUnderABasePath(t *testing.T) {
	t.Parallel()
	p := common(t)
	dir := project(t, "next-base-path", "base-path", "preview")
	manifests, err := filepath.Glob(filepath.Join(dir, ".vercel", "output", "static", "docs", "_next", "static", "*", "_buildManifest.js"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("the output has %d builds (%v)", len(manifests), err)
	}
	build := filepath.Base(filepath.Dir(manifests[0]))
	s := basePath{lateenCLI(t, p, dir).deploy("deploy"), "/docs/_next/data/" + build}
	t.Run("pages", func(t *testing.T) { s.checkPages(t, build) })
	t.Run("data", s.checkData)
	t.Run("one making", s.checkMaking)
	t.Run("regeneration", s.checkRegeneration)
	t.Run("res.revalidate", s.checkRevalidate)
}

func (s basePath) checkPages(t *testing.T, build string) {
	s.expect(t,
		want{path: "/docs/", contains: []string{"bp home"}, has: map[string]string{"X-Matched-Path": "/"}},
		want{path: "/docs", status: 308, location: "/docs/", has: map[string]string{"Refresh": "0;url=/docs/"}},
		want{path: "/docs/f.txt", contains: []string{"file f"}},
		want{path: "/docs/dyn/x/", contains: []string{"dyn:<!-- -->x<"}, has: map[string]string{"X-Cfg": "1", "X-Matched-Path": "/dyn/[slug]"}},
		want{path: "/docs/dyn/x", status: 308, location: "/docs/dyn/x/"},
		want{path: "/docs//dyn/x/", status: 308, location: "/docs/dyn/x/"},
		want{path: "/docs/isr/a/", contains: []string{"isr:<!-- -->a<"}},
		want{path: "/docs/isr/new/", contains: []string{"isr:<!-- -->new<"}},
		want{path: "/docs/g/7/?q=1", contains: []string{"g:<!-- -->7<!-- --> <!-- -->/g/7/?q=1<"}},
		want{path: "/docs/b/1/", contains: []string{"b:<!-- -->1<"}},
		want{path: "/docs/w1/", contains: []string{"dyn:<!-- -->w1<"}},

		want{path: "/docs/api/h/", contains: []string{`"p":"/api/h/","bp":""`}},
		want{path: "/docs/api/e/", contains: []string{`"p":"/api/e/","bp":"/docs"`}},
		want{path: "/docs/api/p/", json: map[string]any{"url": "/api/p/"}},
		want{path: "/docs/api/p/?a=1", json: map[string]any{"url": "/api/p/?a=1"}},

		want{path: "/docs/mw/a/", contains: []string{`"p":"/mw/a/","bp":"/docs"`}},
		want{path: "/docs/mw/redir/", status: 307, location: "/docs/dyn/mwr/"},
		want{path: "/docs/mw/rw/", contains: []string{"dyn:<!-- -->mww<"}},
		want{path: "/docs/r1/", status: 307, location: "/docs/dyn/r1", has: map[string]string{"Refresh": ""}},
		want{path: "/outside/", status: 307, location: "/docs/dyn/outside"},

		want{path: "/docs/nope/", status: 404, contains: []string{"This page could not be found"}},
		want{path: "/docs/docs/", status: 404},
		want{path: "/g/7/", status: 404},
		want{path: "/api/p/", status: 404},
		want{path: "/", status: 404},
		want{path: "/f.txt", status: 404},
		want{path: "/docs/_next/static/nope.js", status: 404},
		want{path: "/docs/_next/static/" + build + "/_buildManifest.js", contains: []string{"__BUILD_MANIFEST"}},
		want{path: "/cdn/_next/static/" + build + "/_buildManifest.js", contains: []string{"__BUILD_MANIFEST"}},
		want{path: "/docs/_next/image/?url=%2Fdocs%2Ff.txt&w=640&q=75", status: 400, has: map[string]string{"X-Vercel-Error": "INVALID_IMAGE_OPTIMIZE_REQUEST"}},
	)
}

func (s basePath) checkData(t *testing.T) {
	type object = map[string]any
	for _, header := range [][]string{nil, {"X-Nextjs-Data", "1"}} {
		s.expect(t,
			want{path: s.data + "/g/7.json", header: header, json: object{"pageProps": object{"id": "7", "resolvedUrl": "/g/7"}, "__N_SSP": true}},
			want{path: s.data + "/b/2.json", header: header, contains: []string{`"pageProps":{"id":"2"`, `"__N_SSG":true`}},
		)
	}
	rsc := []string{"Rsc", "1"}
	for _, path := range []string{"/docs/", "/docs/dyn/x/", "/docs/isr/a/", "/docs/isr/new2/"} {
		s.expect(t, want{path: path, header: rsc, has: map[string]string{"Content-Type": "text/x-component"}})
	}
}

// momentOf is the moment at which a page or its data was made.
func momentOf(t *testing.T, r *response) string {
	t.Helper()
	at := regexp.MustCompile(`\b1\d{12}\b`).FindString(r.Body)
	if r.Status != http.StatusOK || at == "" {
		t.Fatalf("%d %s\n%s", r.Status, headerText(r.Header), clip(r.Body))
	}
	return at
}

// checkMaking checks that a page and its data are rendered together by a request for
// either.
func (s basePath) checkMaking(t *testing.T) {
	s.tell(t)
	document, data, rsc := []option(nil), []option{withHeader("X-Nextjs-Data", "1")}, []option{withHeader("Rsc", "1")}
	for _, pair := range []struct {
		first, second string
		one, other    []option
	}{
		{"/docs/b/30/", s.data + "/b/30.json", document, data},
		{s.data + "/b/31.json", "/docs/b/31/", data, document},
		{"/docs/isr/m1/", "/docs/isr/m1/", document, rsc},
	} {
		first, state := s.kept(t, pair.first, pair.one...)
		if state != "MISS" {
			t.Errorf("%s is %s", pair.first, state)
		}
		second, state := s.kept(t, pair.second, pair.other...)
		if a, b := momentOf(t, first), momentOf(t, second); a != b {
			t.Errorf("%s was made at %s, and %s at %s", pair.first, a, pair.second, b)
		}
		if state != "HIT" && !strings.HasPrefix(pair.first, "/docs/isr/") { // whose two seconds may be over
			t.Errorf("%s is %s", pair.second, state)
		}
	}
}

func (s basePath) checkRegeneration(t *testing.T) {
	s.tell(t)
	for _, path := range []string{"/docs/isr/a/", "/docs/isr/regenerated/"} {
		first, _ := s.kept(t, path)
		was := momentOf(t, first)
		eventually(t, func() error {
			r, state := s.kept(t, path)
			if momentOf(t, r) == was {
				return fmt.Errorf("%s is %s and as it was", path, state)
			}
			return nil
		})
	}
}

// checkRevalidate checks that an endpoint that calls the page by https has it
// rendered again.
func (s basePath) checkRevalidate(t *testing.T) {
	s.tell(t)
	first, _ := s.kept(t, "/docs/b/40/")
	r := s.get(t, "/docs/api/revalidate/?path=/docs/b/40/")
	if r.Status != http.StatusOK {
		t.Fatalf("res.revalidate: %d %s", r.Status, clip(r.Body))
	}
	second, state := s.kept(t, "/docs/b/40/")
	if state != "HIT" || momentOf(t, second) == momentOf(t, first) {
		t.Errorf("the page is %s, from %s; it was from %s", state, momentOf(t, second), momentOf(t, first))
	}
}
