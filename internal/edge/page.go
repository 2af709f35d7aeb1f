package edge

import (
	"io"
	"net/http"

	"github.com/lateen-dev/lateen/internal/edge/prerender"
	"github.com/lateen-dev/lateen/internal/route"
)

// servePrerender answers with the prerendered page of d.Output.
func (x *exchange) servePrerender(d *route.Decision) error {
	x.record.Kind = kindPrerender
	p := x.Site.Manifest.Prerenders[d.Output]
	return x.edge.pages.Serve(prerender.Request{
		Call: &x.Call, HTTP: x.req, Decision: d, Page: &p,
		Whole: d.Status >= http.StatusBadRequest || x.problem != nil, Record: &x.record, Response: page{x},
	})
}

// page is the response of an exchange with a prerendered page.
type page struct{ x *exchange }

// Respond implements [prerender.Response].
func (p page) Respond(status int, h http.Header, body io.Reader) { p.x.respond(status, h, body) }

// Relay implements [prerender.Response].
func (p page) Relay(resp *http.Response) error { return p.x.relay(resp) }

// Output implements [prerender.Response].
func (p page) Output(d *route.Decision) error { return p.x.output(d) }

// Gather implements [prerender.Response].
func (p page) Gather(r io.Reader) ([]byte, error) { return p.x.gather(r) }
