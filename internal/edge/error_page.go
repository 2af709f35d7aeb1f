package edge

import (
	"maps"
	"net/http"

	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// errorPage answers with the platform's own page for p, as HTML, JSON or text by
// the client's Accept.
func (x *exchange) errorPage(p problem.Problem) {
	if x.record.Kind == "" || x.record.Kind == kindPrerender {
		x.record.Kind = kindError
	}
	x.record.Cache = ""
	h := http.Header{}
	if x.decision != nil && x.decision.Kind == route.Error {
		x.decision.Merge(h)
		for _, name := range []string{"Content-Encoding", "Content-Length", "Cache-Control"} {
			delete(h, name)
		}
	}
	page, body := x.edge.pages.Render(p, x.req.Header, x.ID)
	maps.Copy(h, page)
	h["Vary"] = route.AddVary(h["Vary"], "Accept")
	header.DropHopByHop(h)
	x.platformHeader(h)
	x.head(p.Status, h)
	if x.req.Method == http.MethodHead || !header.AllowsBody(p.Status) {
		x.done = true
		return
	}
	_, err := x.w.Write(body)
	x.finish(err)
}
