package edge

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// middlewareBody bounds, in bytes, the request bodies that a middleware gets. A longer
// body goes only to the output behind it, and the middleware gets none.
const middlewareBody = 4 << 20

// runMiddleware invokes the middleware at output with req, the request as routing has
// changed it so far.
func (x *exchange) runMiddleware(ctx context.Context, output string, req *route.Request) (*route.MiddlewareResponse, error) {
	body, err := x.holdBody()
	if err != nil {
		return nil, err
	}
	out := &http.Request{
		Method: req.Method, URL: call.PathURL(req.Path, req.RawQuery), Header: header.Onward(req.Header), Host: x.Client.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	delete(out.Header, "Content-Length")
	if body != nil {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	x.edge.prewarm.functions(x.Site, x.Site.Traffic.OnRequest(x.req.URL.Path, x.edge.o.Now())) // those behind the middleware
	inv := &lateen.Invocation{}
	x.record.Middleware = inv
	resp, err := x.edge.caller.Call(ctx, &x.Call, call.Output{Name: output, MatchedPath: output}, out, inv)
	if err != nil {
		return nil, problem.OfMiddleware(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, problem.ErrMiddleware.With("the middleware's response switches protocols")
	}
	header.DropHopByHop(resp.Header)
	if resp.ContentLength == 0 {
		_ = resp.Body.Close() // it has ended
		resp.Body = http.NoBody
	}
	return &route.MiddlewareResponse{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body}, nil
}

// holdBody reads the request's body into memory, so that a middleware and the output
// behind it can both read it. It returns nil if there is no body or it is too long.
func (x *exchange) holdBody() ([]byte, error) {
	switch held, ok := x.req.Body.(*heldBody); {
	case ok:
		return held.all, nil
	case x.body == nil || x.req.ContentLength > middlewareBody:
		return nil, nil
	}
	all, err := x.gather(io.LimitReader(x.body, middlewareBody+1))
	if err != nil {
		return nil, x.blame(err)
	}
	rest := io.MultiReader(bytes.NewReader(all), x.body)
	if len(all) > middlewareBody {
		x.req.Body = &heldBody{Reader: rest} // so that the next middleware does not read on
		return nil, nil
	}
	x.req.Body, x.req.ContentLength = &heldBody{Reader: rest, all: all}, int64(len(all))
	return all, nil
}

// heldBody is a request's body whose beginning is in memory.
type heldBody struct {
	io.Reader

	all []byte // the whole body; nil if it is too long
}

// Close does nothing.
func (*heldBody) Close() error { return nil }
