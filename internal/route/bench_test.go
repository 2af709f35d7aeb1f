package route_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen/internal/route"
)

// next answers as a middleware that lets everything pass.
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
