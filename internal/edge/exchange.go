package edge

import (
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// The kinds of responses in a record.
const (
	kindStatic     = "static"
	kindFunction   = "function"
	kindEdge       = "edge"
	kindPrerender  = "prerender"
	kindMiddleware = "middleware"
	kindRedirect   = "redirect"
	kindExternal   = "external"
	kindError      = "error"
)

// exchange is one request and its response, whereas [Edge] is the state that all share.
// The code that serves it fills in the record and answers once with respond, or returns
// an error for the error page. One goroutine uses an exchange; work that outlives the
// request may use only a copy of the call.
type exchange struct {
	call.Call

	edge *Edge

	w    *writer
	req  *http.Request // the client's, without the headers that only the platform may send
	body *upload       // unread rest of the request's body; nil if the request has no body

	decision   *route.Decision // result of routing; nil before
	record     lateen.Record
	began      time.Time
	first      bool             // whether this is the connection's first request for a deployment
	codings    bool             // whether the static file of the response has compressed forms
	held       int64            // bytes taken from the edge's memory
	encodes    bool             // whether the exchange holds a place for an encoder
	problem    *problem.Problem // first error; nil if there is none
	status     int              // status that was sent; 0 before the header is sent
	done       bool             // whether the whole response was sent
	clientGone bool             // whether sending failed because of the client
	upgraded   int64            // bytes received after a switch of protocols
}

func (e *Edge) newExchange(w *writer, r *http.Request, from call.Client) *exchange {
	now := e.o.Now()
	x := &exchange{
		Call: call.Call{ID: lateen.NewID[lateen.RequestID]("req_", now), Region: e.o.Region, Client: from},
		edge: e, w: w, began: now,
	}
	r = r.WithContext(lateen.WithRequestID(r.Context(), x.ID))
	for name := range header.Nominated(r.Header) {
		delete(r.Trailer, name)
	}
	header.CleanTrailer(r.Trailer)
	x.Hops, x.Fill = e.hops.Of(r.Header)
	r.Header = header.CleanRequest(r.Header)
	x.Trace = call.TraceOf(r.Header)
	x.body = newUpload(w, r, e.o.MaxBody)
	x.req = x.body.request(r)
	x.record = lateen.Record{
		ID: x.ID, Time: lateen.MillisOf(now), Method: r.Method, Host: from.Hostname, Path: r.URL.Path,
		ClientIP: from.IP, UserAgent: r.Header.Get("User-Agent"), Referer: r.Header.Get("Referer"),
		TraceID: x.Trace.ID, ParentSpan: x.Trace.Parent, SpanID: x.Trace.Span,
	}
	return x
}
