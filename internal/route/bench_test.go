package route_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// next answers like a middleware that lets every request pass.
func next(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) {
	return nil, nil
}

var requests = []struct {
	name, path string
	header     http.Header
}{
	{name: "static", path: "/_next/static/chunks/08mika-44sn50.js"},
	{name: "prerender", path: "/posts/hoist"},
	{name: "function", path: "/api/hello"},
	{name: "dynamic", path: "/posts/another"},
	{name: "rsc", path: "/posts/another", header: http.Header{"Rsc": {"1"}}},
	{name: "missing", path: "/no/such/page"},
}

func BenchmarkResolve(b *testing.B) {
	table, _ := load(b, "testdata/nextjs.txtar")
	router, _ := compile(b, table)
	for _, bm := range requests {
		b.Run(bm.name, func(b *testing.B) {
			req := newRequest("GET", bm.path)
			if bm.header != nil {
				req.Header = bm.header
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := router.Resolve(b.Context(), req, next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkResolveManyRoutes has 300 pages below a language, two routes each, and
// requests the last.
func BenchmarkResolveManyRoutes(b *testing.B) {
	m := &lateen.Manifest{Outputs: map[string]string{}, Functions: map[string]lateen.Function{}}
	m.Routes = append(m.Routes, lateen.Route{Handle: "rewrite"})
	for i := range 300 {
		page := fmt.Sprintf("/[lang]/page-%d", i)
		m.Outputs[page], m.Functions[page] = page, lateen.Function{}
		for _, suffix := range []string{`(?<rscSuffix>\.rsc|\.segments/.+\.segment\.rsc)`, ""} {
			m.Routes = append(m.Routes, lateen.Route{
				Src:  fmt.Sprintf(`^/(?<nxtPlang>[^/]+?)/page\-%d%s(?:/)?$`, i, suffix),
				Dest: page + "?nxtPlang=$nxtPlang", Check: true, Override: true,
			})
		}
	}
	router, err := route.Compile(m)
	if err != nil {
		b.Fatal(err)
	}
	req := newRequest("GET", "/en/page-299")
	b.ReportAllocs()
	for b.Loop() {
		if d, err := router.Resolve(b.Context(), req, nil); err != nil || d.Kind != route.Function {
			b.Fatal(d, err)
		}
	}
}

// BenchmarkManyParameters deletes the maximum number of parameters in the head of a
// request: twice as many must take only twice the time.
func BenchmarkManyParameters(b *testing.B) {
	router, err := route.Compile(&lateen.Manifest{Routes: []lateen.Route{{Src: "/.*", Transforms: []lateen.Transform{
		{Type: "request.query", Op: "delete", Target: lateen.TransformTarget{Key: lateen.TransformKey{Match: &lateen.Condition{Pre: "x"}}}},
	}}}})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{5_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var query strings.Builder
			for i := range n {
				fmt.Fprintf(&query, "x%04x&", i)
			}
			req := newRequest("GET", "/?"+query.String())
			for b.Loop() {
				if d, err := router.Resolve(b.Context(), req, nil); err != nil || d.Query != "" {
					b.Fatal(d, err)
				}
			}
		})
	}
}
