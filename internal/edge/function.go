package edge

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// maxBuffered bounds, in bytes, the response of a function that does not stream.
const maxBuffered = 20 << 20

// serveFunction answers with the response of the function of d.Output, streaming both
// bodies.
func (e *Edge) serveFunction(x *exchange, d *route.Decision) {
	spec := x.Site.Specs[x.Site.Manifest.Outputs[d.Output]]
	x.record.Kind = kindFunction
	if spec.Function.Edge() {
		x.record.Kind = kindEdge
	}
	if x.record.Cache == "" {
		x.record.Cache = "MISS"
	}
	if err := x.admitBody(); err != nil {
		x.fail(err)
		return
	}
	x.record.Invocation = &lateen.Invocation{}
	resp, err := e.caller.Call(x.req.Context(), &x.Call, call.OutputOf(d), x.functionRequest(d), x.record.Invocation)
	if err != nil {
		x.fail(x.blame(err))
		return
	}
	if spec.Function.NoStreaming && resp.StatusCode != http.StatusSwitchingProtocols {
		if err := x.buffer(resp); err != nil {
			x.fail(err)
			return
		}
	}
	x.relay(resp)
}

// functionRequest returns the client's request for the function of d.
func (x *exchange) functionRequest(d *route.Decision) *http.Request {
	return x.outbound(call.PathURL(d.Path, d.Query), d)
}

// outbound returns the client's request for the URL u.
func (x *exchange) outbound(u *url.URL, d *route.Decision) *http.Request {
	h := header.Onward(d.RequestHeader)
	if x.problem != nil || d.Status != 0 {
		header.DropConditions(h)
	}
	if upgrade := x.wantedUpgrade(d.RequestHeader); upgrade != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if acceptsTrailers(d.RequestHeader) {
		h["Te"] = []string{"trailers"}
	}
	req := &http.Request{
		Method: x.method(), URL: u, Header: h, Host: x.Client.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if x.body == nil || req.Method != x.req.Method {
		delete(h, "Content-Length")
		return req
	}
	req.Body, req.ContentLength = x.req.Body, x.req.ContentLength
	if req.ContentLength < 0 {
		req.Trailer = x.req.Trailer
	}
	if !x.w.http2 {
		_ = x.w.deadlines.EnableFullDuplex() // a response may begin before the request has ended
	}
	return req
}

// method returns the method of the request to an output: an error page is requested
// with GET, or with HEAD if the client sent HEAD.
func (x *exchange) method() string {
	if x.req.Method != http.MethodHead && (x.problem != nil || x.decision.Status >= 400) {
		return http.MethodGet
	}
	return x.req.Method
}

// admitBody refuses a request whose Content-Length is too large.
func (x *exchange) admitBody() error {
	if x.body != nil && x.req.ContentLength > x.body.limit {
		return errBodyTooLarge(x.body.limit)
	}
	return nil
}

// relay streams resp to the client.
func (x *exchange) relay(resp *http.Response) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.upgrade(resp)
		return
	}
	if resp.ContentLength < 0 {
		delete(resp.Header, "Content-Length")
	}
	x.respond(resp.StatusCode, resp.Header, resp.Body)
	header.CleanTrailer(resp.Trailer)
	for name, values := range resp.Trailer { // known since the body has ended
		x.w.Header()[http.TrailerPrefix+name] = values
	}
}

// buffer reads the whole body of resp, so that its length is known.
func (x *exchange) buffer(resp *http.Response) error {
	defer resp.Body.Close()
	all, err := x.gather(io.LimitReader(resp.Body, maxBuffered+1))
	switch {
	case err != nil:
		return problem.Truncated(err)
	case len(all) > maxBuffered:
		return problem.ErrResponseTooLarge
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(all)), int64(len(all))
	if resp.Request == nil || resp.Request.Method != http.MethodHead {
		resp.Header["Content-Length"] = []string{strconv.Itoa(len(all))}
	}
	return nil
}
