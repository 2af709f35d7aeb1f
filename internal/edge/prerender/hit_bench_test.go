package prerender_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge"
)

// nowhere is a response writer that discards the response.
type nowhere struct {
	header http.Header
	n      int64
}

func (w *nowhere) Header() http.Header { return w.header }
func (w *nowhere) WriteHeader(int)     {}
func (w *nowhere) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

// invoker is a [call.Invoker] of a function.
type invoker func(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error)

// Invoke implements [call.Invoker].
func (f invoker) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	return f(ctx, spec, req, inv)
}

// BenchmarkPrerenderHit measures a request for a cached page of 8 KB, without the
// connection.
func BenchmarkPrerenderHit(b *testing.B) {
	for name, o := range map[string]cache.Options{"memory": {}, "disk": {MaxInline: 1}} {
		for _, encoding := range []string{"", "br"} {
			b.Run(name+" "+encoding, func(b *testing.B) {
				store, err := artifact.OpenDisk(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				o.Dir = b.TempDir()
				c, err := cache.Open(o)
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan struct{})
				go func() { defer close(done); c.Run(ctx) }()
				defer func() { cancel(); <-done }()
				page := strings.Repeat("<p>Some text of a page, neither short nor long.</p>\n", 160)
				site := &lateen.Site{Deployment: "dpl_1", Manifest: &lateen.Manifest{
					Prerenders: map[string]lateen.Prerender{"/isr": {AllowQuery: []string{}, Group: 1}},
					Outputs:    map[string]string{"/isr": "/fn"}, Functions: map[string]lateen.Function{"/fn": {}},
				}}
				e := edge.New(edge.Options{
					Artifacts: store, Cache: c,
					Source: sources(func(context.Context, lateen.DeploymentID) (*lateen.Site, error) { return site, nil }),
					Fleet: invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
						return &http.Response{
							StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(page)),
							Header: http.Header{"Content-Type": {"text/html"}, "X-Next-Cache-Tags": {"_N_T_/layout,_N_T_/isr/layout,_N_T_/isr/page,_N_T_/isr,clock"}},
						}, nil
					}),
				})
				e.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}})
				r := httptest.NewRequestWithContext(b.Context(), "GET", "http://app.localhost/isr", nil)
				if encoding != "" {
					r.Header.Set("Accept-Encoding", encoding)
				}
				for c.Get(cache.NewKey("dpl_1", "/isr", "http://app.localhost", "/isr", "", "")) == nil { // wait until it is on disk
					e.ServeHTTP(&nowhere{header: http.Header{}}, r)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					w := &nowhere{header: make(http.Header, 16)}
					e.ServeHTTP(w, r)
					if w.n == 0 || w.header.Get("X-Vercel-Cache") != "HIT" {
						b.Fatal(w.n, w.header)
					}
				}
			})
		}
	}
}
