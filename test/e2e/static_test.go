//go:build e2e

package e2e_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/andybalholm/brotli"
)

// checkStatic checks the static example.
func checkStatic(t *testing.T, s site) {
	all := map[string]string{"X-Example": "static"}
	s.expect(t,
		want{path: "/", facts: map[string]string{"file": "index.html"}, has: map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "public, max-age=0, must-revalidate", "X-Example": "static", "X-Vercel-Cache": "HIT",
		}},
		want{path: "/about", facts: map[string]string{"file": "about.html"}, has: all},
		want{path: "/about?with=query", facts: map[string]string{"file": "about.html"}},
		want{path: "/guide", facts: map[string]string{"file": "guide/index.html"}, has: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		want{path: "/guide/rigging", facts: map[string]string{"file": "guide/rigging.html"}, has: map[string]string{"X-Guide-Page": "rigging"}},
		want{path: "/style.css", has: map[string]string{"Cache-Control": "public, max-age=3600", "Content-Type": "text/css; charset=utf-8"}},
		want{path: "/icon.svg", has: map[string]string{"Content-Type": "image/svg+xml"}},

		want{path: "/about.html", status: 308, location: "/about"},
		want{path: "/index.html", status: 308, location: "/"},
		want{path: "/guide/", status: 308, location: "/guide"},
		want{path: "/guide/index", status: 308, location: "/guide"},
		want{path: "/guide/rigging.html?q=1", status: 308, location: "/guide/rigging?q=1"},
		want{path: "/home", status: 308, location: "/"},
		want{path: "/docs/rigging", status: 307, location: "/guide/rigging"},
		want{path: "/members", status: 302, location: "/about"},
		want{name: "a member", path: "/members", header: []string{"Cookie", "member=1"}, facts: map[string]string{"file": "guide/rigging.html"}},
		want{path: "/handbook/rigging", facts: map[string]string{"file": "guide/rigging.html"}},
		want{path: "//about", status: 308, location: "/about"},

		want{path: "/nowhere", status: 404, facts: map[string]string{"not-found": "404"}, has: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		want{path: "/handbook/nowhere", status: 404, facts: map[string]string{"not-found": "404"}},
		want{path: "/%2e%2e/%2e%2e/etc/passwd", status: 404},
		want{method: http.MethodPost, path: "/about", status: 405},
	)
	t.Run("files", func(t *testing.T) {
		checkFiles(t, s, "/style.css", filepath.Join(root(t), "examples", "static", "style.css"))
	})
}

// checkFiles checks the file at path of every site; original is the deployed file.
func checkFiles(t *testing.T, s site, path, original string) {
	t.Helper()
	s.tell(t)
	content, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	whole := s.get(t, path)
	etag := whole.Header.Get("Etag")
	if whole.Status != http.StatusOK || whole.Body != string(content) || !strings.HasPrefix(etag, `"`) {
		t.Fatalf("%s is not what was deployed: %d, ETag %s, %d bytes of %d", path, whole.Status, etag, len(whole.Body), len(content))
	}
	head := s.send(t, http.MethodHead, path, nil)
	if head.Status != http.StatusOK || head.Body != "" || head.Header.Get("Content-Length") != whole.Header.Get("Content-Length") {
		t.Errorf("HEAD differs from GET:\n%s\n%s", headerText(head.Header), headerText(whole.Header))
	}
	if r := s.get(t, path, withHeader("If-None-Match", `"other", `+etag)); r.Status != http.StatusNotModified || r.Body != "" || r.Header.Get("Etag") != etag {
		t.Errorf("a conditional request of what did not change: %d %s", r.Status, headerText(r.Header))
	}
	if r := s.get(t, path, withHeader("If-None-Match", `"other"`)); r.Status != http.StatusOK {
		t.Errorf("a conditional request of what changed: %d", r.Status)
	}
	if r := s.get(t, path, withHeader("Range", "bytes=10-19")); r.Status != http.StatusPartialContent || r.Body != string(content[10:20]) {
		t.Errorf("a range: %d %q", r.Status, clip(r.Body))
	}
	if r := s.get(t, path, withHeader("Range", "bytes=-5")); r.Status != http.StatusPartialContent || r.Body != string(content[len(content)-5:]) {
		t.Errorf("the last bytes: %d %q", r.Status, clip(r.Body))
	}
	if r := s.get(t, path, withHeader("Range", "bytes=99999999-")); r.Status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range beyond the end: %d", r.Status)
	}
	if r := s.get(t, path, withHeader("Range", "bytes=0-4"), withHeader("If-Range", `"other"`)); r.Status != http.StatusOK || r.Body != string(content) {
		t.Errorf("a range of a file that changed: %d", r.Status)
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		r := s.get(t, path, withHeader("Accept-Encoding", coding))
		if r.Header.Get("Content-Encoding") != coding || !strings.Contains(r.Header.Get("Vary"), "Accept-Encoding") || r.Header.Get("Etag") == etag {
			t.Errorf("%s: %s", coding, headerText(r.Header))
			continue
		}
		if text, err := decompress(coding, r.Body); err != nil || text != string(content) {
			t.Errorf("%s does not decode to the file: %v", coding, err)
		}
		if again := s.get(t, path, withHeader("Accept-Encoding", coding), withHeader("If-None-Match", r.Header.Get("Etag"))); again.Status != http.StatusNotModified {
			t.Errorf("a conditional request with %s: %d", coding, again.Status)
		}
	}
	if r := s.get(t, path, withHeader("Accept-Encoding", "gzip;q=0, identity")); r.Header.Get("Content-Encoding") != "" {
		t.Errorf("sent %s to who refuses it", r.Header.Get("Content-Encoding"))
	}
}

func decompress(coding, body string) (string, error) {
	var r io.Reader = strings.NewReader(body)
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return "", err
		}
		r = z
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			return "", err
		}
		defer z.Close()
		r = z
	}
	text, err := io.ReadAll(r)
	return string(text), err
}
