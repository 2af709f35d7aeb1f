package edge

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// sink is a response writer that discards the response.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// benchmarkHandler measures h without a connection.
func benchmarkHandler(b *testing.B, h http.Handler, path string, headers ...string) {
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://app.localhost"+path, nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &sink{header: http.Header{}}
		h.ServeHTTP(w, req)
		if w.status >= 400 {
			b.Fatalf("status %d", w.status)
		}
	}
}

// benchmarkServer measures requests over one connection to address.
func benchmarkServer(b *testing.B, address, path string) {
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://app.localhost"+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		b.SetBytes(n)
		resp.Body.Close()
	}
}

func benchmarkStage(b *testing.B, prewarm func(lateen.FunctionSpec)) *stage {
	s := newStage(b)
	s.options.Prewarm = prewarm
	s.options.Log, s.options.Records = nil, nil
	s.file("/small.html", "text/html; charset=utf-8", strings.Repeat("<p>hello</p>", 400))
	s.blobFile("/large.bin", 64<<20)
	s.function("/fn", lateen.Function{})
	s.options.Fleet = invoker(func(_ context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
		inv.Function = spec.Name
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}, "Content-Length": {"5"}},
			Body: io.NopCloser(strings.NewReader("hello")), ContentLength: 5, Request: req,
		}, nil
	})
	return s.open()
}

func BenchmarkHandler(b *testing.B) {
	s := benchmarkStage(b, nil)
	b.Run("static small", func(b *testing.B) { benchmarkHandler(b, s.edge, "/small.html") })
	b.Run("static 304", func(b *testing.B) {
		benchmarkHandler(b, s.edge, "/small.html", "If-None-Match: "+header.Tag(s.manifest.Files["/small.html"].Digest))
	})
	b.Run("function", func(b *testing.B) { benchmarkHandler(b, s.edge, "/fn") })
	learning := benchmarkStage(b, func(lateen.FunctionSpec) {})
	b.Run("static small, with prediction", func(b *testing.B) { benchmarkHandler(b, learning.edge, "/small.html") })
	b.Run("function, with prediction", func(b *testing.B) { benchmarkHandler(b, learning.edge, "/fn") })
}

func TestServingAllocatesLittle(t *testing.T) {
	s := newStage(t)
	s.options.Records = nil
	s.file("/f.txt", "text/plain", "hello")
	s.open()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://app.localhost/f.txt", nil)
	if n := testing.AllocsPerRun(100, func() { s.edge.ServeHTTP(&sink{header: http.Header{}}, req) }); n > 40 {
		t.Errorf("a small file takes %v allocations", n)
	}
}

func BenchmarkServer(b *testing.B) {
	s := benchmarkStage(b, nil)
	for _, path := range []string{"/small.html", "/large.bin", "/fn"} {
		b.Run("edge"+path, func(b *testing.B) { benchmarkServer(b, s.address, path) })
	}
	dir := b.TempDir()
	for name, size := range map[string]int{"small.html": 4800, "large.bin": 64 << 20} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer files.Close()
	for _, path := range []string{"/small.html", "/large.bin"} {
		b.Run("FileServer"+path, func(b *testing.B) { benchmarkServer(b, files.Listener.Addr().String(), path) })
	}
}
