//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// partial are the pages of testdata/apps/next-cache-components with a part that waits for
// the request, which shows the headers of that.
var partial = []string{"/", "/nested/a", "/nested/b", "/nested/c", "/on-demand/a", "/on-demand/b", "/loading/a", "/loading/b"}

// The values are those of `next start`.
func TestNextjsWithCacheComponents(t *testing.T) {
	t.Parallel()
	cli := lateenCLI(t, common(t), project(t, "next-cache-components", "cache-components", "preview"))
	s := cli.deploy("deploy")
	for _, path := range append([]string{"/static"}, partial...) {
		s.get(t, path) // which renders its shell
	}
	t.Run("documents", func(t *testing.T) { checkPartialDocuments(t, s) })
	t.Run("navigation", func(t *testing.T) { checkPartialNavigation(t, s) })
	t.Run("streaming", func(t *testing.T) { s.expectStream(t, "/slow", 1) })
	t.Run("use cache", func(t *testing.T) { checkUseCache(t, s) })
	t.Run("purge", func(t *testing.T) { checkPurge(t, s, cli) })
	t.Run("signals", func(t *testing.T) {
		s.expect(t,
			want{path: "/redirect-static", status: 307},
			want{path: "/notfound-static", status: 404},
			want{path: "/redirect-dynamic", contains: []string{"url=/static"}},
			want{path: "/notfound-dynamic", contains: []string{"noindex"}},
			want{path: "/meta", header: []string{"X-Test-Input", "MM"}, contains: []string{"<title>Meta MM"}},
			want{path: "/search?q=77", contains: []string{"77</p>"}},
			want{path: "/use-cache-mixed", header: []string{"Cookie", "who=bob"}, contains: []string{"cookie:<!-- -->bob<"}},
		)
	})
}

func checkPartialDocuments(t *testing.T, s site) {
	kept := map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "public, max-age=0, must-revalidate", "X-Nextjs-Cache": "", "X-Nextjs-Postponed": ""}
	s.expect(t, want{path: "/static", has: kept, contains: []string{"Static page", "</html>"}})
	if _, state := s.kept(t, "/static"); state != "HIT" && state != "PRERENDER" {
		t.Errorf("a page without such a part is %s", state)
	}
	for i, path := range partial {
		input := fmt.Sprint("input", i)
		s.expect(t, want{path: path, header: []string{"X-Test-Input", input}, has: kept, contains: []string{
			"Dynamic Loading", input, `data-pathname="` + path + `"`, "</html>",
		}})
	}
	for _, crawler := range []string{"Twitterbot", "Googlebot"} {
		s.expect(t, want{name: crawler, path: "/", header: []string{"User-Agent", crawler, "X-Test-Input", "indexed"}, contains: []string{"indexed", "</html>"}})
	}
}

func checkPartialNavigation(t *testing.T, s site) {
	component := map[string]string{"Content-Type": "text/x-component"}
	for i, path := range partial {
		input := fmt.Sprint("input", i)
		header := []string{"Rsc", "1", "X-Test-Input", input}
		s.expect(t,
			want{name: "data of " + path, path: path, header: header, contains: []string{input}, has: map[string]string{
				"Content-Type": "text/x-component", "Cache-Control": "private, no-cache, no-store, max-age=0, must-revalidate",
			}},
			want{name: "segments of " + path, path: path, header: []string{"Rsc", "1", "Next-Router-Prefetch", "1", "Next-Router-Segment-Prefetch", "/_tree"}, has: component},
		)
		r := s.get(t, path, withHeader("Rsc", "1"), withHeader("Next-Router-Prefetch", "1"), withHeader("X-Test-Input", input))
		if r.Status != http.StatusOK || strings.Contains(r.Body, input) {
			t.Errorf("the prefetch of %s is %d, and has what waits for a request: %v", path, r.Status, strings.Contains(r.Body, input))
		}
	}
}

// cachedValue returns the value that 'use cache' has cached for a page.
func cachedValue(t *testing.T, s site, path string) string {
	t.Helper()
	r, _ := s.kept(t, path)
	v := regexp.MustCompile(`id="v">([^<]*)`).FindStringSubmatch(r.Body)
	if v == nil {
		t.Fatalf("%s has no value:\n%s", path, clip(r.Body))
	}
	return v[1]
}

// checkPurge checks that a purge expires pages and data, each alone or by their tag.
func checkPurge(t *testing.T, s site, cli *command) {
	const path = "/use-cache-remote"
	before := cachedValue(t, s, path)
	cli.run("cache", "purge", "--type", "cdn")
	if after := cachedValue(t, s, path); after != before {
		t.Errorf("a purge of the pages changes the data from %s to %s", before, after)
	}
	for _, purge := range [][]string{{"purge"}, {"dangerously-delete", "--tag", "ucr"}} {
		before = cachedValue(t, s, path)
		cli.run(append([]string{"cache"}, purge...)...)
		if after := cachedValue(t, s, path); after == before {
			t.Errorf("the value is %s before and after %v", after, purge)
		}
	}
}

// checkUseCache checks that data cached by 'use cache' is the same for all instances, and
// that it is invalidated.
func checkUseCache(t *testing.T, s site) {
	s.tell(t)
	value := func(path string) string { return cachedValue(t, s, path) }
	for _, step := range []struct{ path, by string }{
		{"/use-cache", "tag=uc&now=1"}, {"/use-cache", "path=/use-cache"}, {"/use-cache-mixed", "tag=mix&now=1"}, {"/use-cache-remote", "tag=ucr&now=1"},
	} {
		before := value(step.path)
		if again := value(step.path); again != before {
			t.Errorf("%s shows %s, then %s", step.path, before, again)
		}
		s.get(t, "/api/rev?"+step.by)
		after := value(step.path)
		if after == before {
			t.Errorf("%s shows %s after %s", step.path, after, step.by)
		}
		if again := value(step.path); again != after {
			t.Errorf("after %s %s shows %s, then %s", step.by, step.path, after, again)
		}
	}
	for path, by := range map[string]string{"/use-cache": "/api/rev?tag=uc", "/use-cache-quick": ""} {
		before := value(path)
		if by != "" {
			s.get(t, by)
		}
		eventually(t, func() error {
			if value(path) == before {
				return fmt.Errorf("%s still shows %s", path, before)
			}
			return nil
		})
	}
}

func TestABrowserSeesAPartiallyPrerenderedPage(t *testing.T) {
	t.Parallel()
	s := lateenCLI(t, common(t), project(t, "next-cache-components", "partial-browsed", "preview")).deploy("deploy")
	b := newBrowser(t)
	dynamic := func(path string) string { return `!!document.querySelector('[data-pathname="` + path + `"]')` }

	b.do(chromedp.Navigate(s.address("/")))
	b.shows(dynamic("/") + ` && document.querySelector("h1").textContent === "home static"`)
	b.shows(`window.sameDocument = true`)
	for _, step := range []struct{ link, path string }{{"to-nested", "/nested/a"}, {"", "/"}, {"to-od", "/on-demand/z"}} {
		if step.link == "" {
			b.do(chromedp.NavigateBack())
		} else {
			b.do(chromedp.Click(chromedp.CSS("#" + step.link)))
		}
		b.shows(`location.pathname === "` + step.path + `" && window.sameDocument && ` + dynamic(step.path))
	}
	b.do(chromedp.NavigateBack())
	b.shows(`location.pathname === "/"`)
	b.do(chromedp.Click(chromedp.CSS("#to-slow")))
	b.shows(`location.pathname === "/slow" && window.sameDocument && !!document.querySelector("#slow-done")`)
	if faults := b.noticed(); faults != "" {
		t.Error(faults)
	}
}
