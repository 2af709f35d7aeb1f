package edge

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

func TestHeadersOfAStaticFile(t *testing.T) {
	s := newStage(t)
	f := s.file("/a dir/ré\"sumé.txt", "text/plain; charset=utf-8", strings.Repeat("hello ", 100))
	s.open()
	resp, body := s.get("/a%20dir/r%C3%A9%22sum%C3%A9.txt")
	is(t, resp, 200, "")
	if body != strings.Repeat("hello ", 100) || resp.ContentLength != 600 {
		t.Errorf("Content-Length %d, got %d bytes", resp.ContentLength, len(body))
	}
	for name, value := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Etag": `"` + string(f.Digest[:32]) + `"`, "Accept-Ranges": "bytes",
		"Cache-Control": "public, max-age=0, must-revalidate", "Vary": "Accept-Encoding", "Content-Encoding": "",
		"Content-Disposition":         `inline; filename="r__sum_.txt"; filename*=UTF-8''r%C3%A9%22sum%C3%A9.txt`,
		"Access-Control-Allow-Origin": "*", "X-Vercel-Cache": "HIT", "Last-Modified": "", "X-Robots-Tag": "", "Strict-Transport-Security": "",
	} {
		has(t, resp.Header, name, value)
	}
	if r := s.record(0); r.Kind != "static" || r.BytesOut != 600 || r.Output != "/a dir/ré\"sumé.txt" {
		t.Errorf("recorded: %+v", r)
	}
}

func TestRouteHeadersReplaceDefaultsOfAFile(t *testing.T) {
	s := newStage(t)
	s.file("/f.txt", "text/plain", strings.Repeat("hello ", 100))
	s.manifest.Routes = []lateen.Route{{Src: "^/f.txt$", Continue: true, Headers: map[string]string{
		"content-type": "text/x-own", "access-control-allow-origin": "https://a.example", "content-disposition": "attachment",
		"cache-control": "public, max-age=31536000, immutable", "vary": "Cookie", "etag": `"forged"`, "content-length": "1", "x-robots-tag": "none",
	}}}
	s.open()
	resp, body := s.get("/f.txt", "Host: app-abc-team.localhost", "Accept-Encoding: gzip")
	if is(t, resp, 200, ""); len(body) == 1 {
		t.Error("a route changed the length")
	}
	for name, value := range map[string]string{
		"Content-Type": "text/x-own", "Access-Control-Allow-Origin": "https://a.example", "Content-Disposition": "attachment",
		"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding | Cookie", "X-Robots-Tag": "none", "Content-Encoding": "gzip",
	} {
		has(t, resp.Header, name, value)
	}
	if resp.Header.Get("Etag") == `"forged"` {
		t.Error("a route changed the validator")
	}
}

func TestStaticMethods(t *testing.T) {
	s := newStage(t)
	s.file("/f.txt", "text/plain", "hello")
	s.open()
	resp, body := s.do("HEAD", "/f.txt", nil)
	if is(t, resp, 200, ""); body != "" || resp.ContentLength != 5 {
		t.Errorf("HEAD: %q, %d bytes", body, resp.ContentLength)
	}
	resp, _ = s.do("OPTIONS", "/f.txt", nil)
	is(t, resp, 204, "")
	has(t, resp.Header, "Allow", "GET, HEAD, OPTIONS")
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		resp, _ := s.do(method, "/f.txt", strings.NewReader("x"))
		is(t, resp, 405, "METHOD_NOT_ALLOWED")
		has(t, resp.Header, "Allow", "GET, HEAD, OPTIONS")
	}
}

func TestConditionalRequests(t *testing.T) {
	s := newStage(t)
	f := s.file("/f.txt", "text/plain", strings.Repeat("hello ", 100))
	s.open()
	tag, packed := header.Tag(f.Digest), header.Tag(f.Encodings["gzip"].Digest)
	if tag == packed {
		t.Fatal("two forms of a file share a tag")
	}
	for _, c := range []struct {
		headers string
		status  int
		etag    string
	}{
		{"If-None-Match: " + tag, 304, tag},
		{"If-None-Match: W/" + tag, 304, tag},
		{`If-None-Match: "x", ` + tag, 304, tag},
		{"If-None-Match: *", 304, tag},
		{`If-None-Match: "x"`, 200, tag},
		{"If-None-Match: " + packed, 200, tag},
		{"If-None-Match: " + packed + "\nAccept-Encoding: gzip", 304, packed},
		{"If-None-Match: " + tag + "\nAccept-Encoding: gzip", 200, packed},
		{"If-Modified-Since: Wed, 01 Jan 2120 00:00:00 GMT", 200, tag},
		{"If-Match: " + tag, 200, tag},
		{`If-Match: "x"`, 412, ""},
		{"If-Match: W/" + tag, 412, ""},
	} {
		resp, body := s.get("/f.txt", strings.Split(c.headers, "\n")...)
		if resp.StatusCode != c.status || resp.Header.Get("Etag") != c.etag {
			t.Errorf("%s: %d %s, want %d %s", c.headers, resp.StatusCode, resp.Header.Get("Etag"), c.status, c.etag)
		}
		if c.status == 412 {
			has(t, resp.Header, "Content-Encoding", "")
			has(t, resp.Header, "Content-Disposition", "")
		}
		if c.status == 304 {
			has(t, resp.Header, "Cache-Control", "public, max-age=0, must-revalidate")
			has(t, resp.Header, "Vary", "Accept-Encoding")
			has(t, resp.Header, "Content-Encoding", "")
			if body != "" {
				t.Errorf("%s: the 304 has a body", c.headers)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	s := newStage(t)
	content := strings.Repeat("0123456789", 100)
	f := s.file("/f.txt", "text/plain", content)
	s.file("/empty.txt", "text/plain", "")
	s.open()
	tag := header.Tag(f.Digest)
	for _, c := range []struct {
		headers string
		status  int
		body    string
		span    string
	}{
		{"Range: bytes=0-4", 206, "01234", "bytes 0-4/1000"},
		{"Range: bytes=995-", 206, "56789", "bytes 995-999/1000"},
		{"Range: bytes=-3", 206, "789", "bytes 997-999/1000"},
		{"Range: bytes=-5000", 206, content, "bytes 0-999/1000"},
		{"Range: bytes=998-5000", 206, "89", "bytes 998-999/1000"},
		{"Range: bytes=1000-", 416, "", "bytes */1000"},
		{"Range: bytes=-0", 416, "", "bytes */1000"},
		{"Range: bytes=0-1,3-4", 200, content, ""},
		{"Range: lines=0-4", 200, content, ""},
		{"Range: bytes=4-0", 200, content, ""},
		{"Range: bytes=abc", 200, content, ""},
		{"Range: bytes=0-4\nIf-Range: " + tag, 206, "01234", "bytes 0-4/1000"},
		{"Range: bytes=0-4\nIf-Range: \"x\"", 200, content, ""},
		{"Range: bytes=0-4\nIf-Range: W/" + tag, 200, content, ""},
		{"Range: bytes=0-4\nIf-Range: Wed, 01 Jan 2120 00:00:00 GMT", 200, content, ""},
		{"Range: bytes=0-4\nAccept-Encoding: gzip", 206, "01234", "bytes 0-4/1000"},
		{"Range: bytes=0-4\nIf-None-Match: " + tag, 304, "", ""},
	} {
		resp, body := s.get("/f.txt", strings.Split(c.headers, "\n")...)
		if resp.StatusCode != c.status || c.status < 400 && body != c.body || resp.Header.Get("Content-Range") != c.span {
			t.Errorf("%s: %d %q (%d bytes), want %d %q", c.headers, resp.StatusCode, resp.Header.Get("Content-Range"), len(body), c.status, c.span)
		}
	}
	resp, _ := s.do("HEAD", "/f.txt", nil, "Range: bytes=0-4")
	if is(t, resp, 200, ""); resp.ContentLength != 1000 {
		t.Errorf("HEAD with Range: %d bytes", resp.ContentLength)
	}
	resp, body := s.get("/empty.txt")
	if is(t, resp, 200, ""); body != "" || resp.ContentLength != 0 {
		t.Errorf("the empty file has %d bytes", resp.ContentLength)
	}
	resp, _ = s.get("/empty.txt", "Range: bytes=0-")
	is(t, resp, 416, "RANGE_NOT_SATISFIABLE")
}

func TestEncodingsAreNegotiated(t *testing.T) {
	s := newStage(t)
	content := strings.Repeat("hello ", 1000)
	f := s.file("/f.txt", "text/plain", content)
	f.Encodings["br"] = s.blob([]byte("not really br, but the smallest"))
	f.Encodings["zstd"] = s.blob([]byte("not really zstd, and a little longer"))
	s.file("/plain.bin", "application/octet-stream", "x")
	s.open()
	for accept, want := range map[string]string{
		"gzip, deflate, br, zstd": "br", "gzip": "gzip", "zstd, gzip": "zstd", "br;q=0.1, gzip": "gzip", "br;q=0, zstd;q=0, *": "gzip",
		"*": "br", "*;q=0": "", "identity": "", "gzip;q=0.5, identity": "", "deflate": "", "GZIP": "gzip", "br;q=x": "", "x-gzip": "gzip", "": "",
	} {
		resp, body := s.get("/f.txt", "Accept-Encoding: "+accept)
		if got := resp.Header.Get("Content-Encoding"); got != want {
			t.Errorf("accepting %q gives %q, want %q", accept, got, want)
		}
		has(t, resp.Header, "Vary", "Accept-Encoding")
		if want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if plain, _ := io.ReadAll(z); string(plain) != content {
				t.Error("the compressed form has other content")
			}
		}
	}
	resp, _ := s.get("/plain.bin", "Accept-Encoding: gzip")
	has(t, resp.Header, "Vary", "")
	has(t, resp.Header, "Content-Encoding", "")
}

func TestALargeFileArrivesWhole(t *testing.T) {
	s := newStage(t)
	content := make([]byte, 3*maxPerDeadline+12345)
	rand.NewChaCha8([32]byte{}).Read(content)
	f := lateen.File{Blob: s.blob(content), ContentType: "application/octet-stream"}
	s.manifest.Files["/big.bin"] = f
	s.open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		if _, body := s.send(client, s.request("GET", "/big.bin", nil)); !bytes.Equal([]byte(body), content) {
			t.Errorf("%s: %d bytes of other content", name, len(body))
		}
		_, body := s.send(client, s.request("GET", "/big.bin", nil, "Range: bytes=100-1500000"))
		if !bytes.Equal([]byte(body), content[100:1500001]) {
			t.Errorf("%s: %d bytes of another range", name, len(body))
		}
	}
}

func TestAFileWhoseContentIsGoneIsAnError(t *testing.T) {
	s := newStage(t)
	s.manifest.Files["/f.txt"] = lateen.File{Blob: lateen.Blob{Digest: lateen.DigestOf([]byte("gone")), Size: 4}, ContentType: "text/plain"}
	s.open()
	resp, _ := s.get("/f.txt")
	is(t, resp, 500, "INTERNAL_SERVER_ERROR")
}

// The edge would send a 304 or 206 with the status of the route, and clients would take
// the response for the complete content (RFC 9110 §13.1, §14.2).
func TestAFileWithARouteStatusIsSentWhole(t *testing.T) {
	for _, status := range []int{200, 203} {
		routes := []lateen.Route{{Src: "/", Dest: "/page", Status: status}}
		s := newStage(t)
		s.file("/page", "text/plain", "0123456789")
		s.manifest.Routes = routes
		s.open()
		resp, _ := s.get("/")
		for _, condition := range []string{"If-None-Match: " + resp.Header.Get("Etag"), "If-None-Match: *", "Range: bytes=0-3"} {
			resp, body := s.get("/", condition)
			if resp.StatusCode != status || body != "0123456789" || resp.Header["Content-Range"] != nil {
				t.Errorf("a file with status %d, %s: %d %q %v", status, condition, resp.StatusCode, body, resp.Header)
			}
		}
	}
}
