package edge

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// maxBuffered bounds, in bytes, the response of a function that does not stream.
const maxBuffered = 20 << 20

// serveFunction answers with the response of the function of d.Output, streaming both
// bodies.
func (x *exchange) serveFunction(d *route.Decision) error {
	spec := x.Site.Specs[x.Site.Manifest.Outputs[d.Output]]
	x.record.Kind = kindFunction
	if spec.Function.Edge() {
		x.record.Kind = kindEdge
	}
	if x.record.Cache == "" {
		x.record.Cache = "MISS"
	}
	if err := x.body.admit(x.req.ContentLength); err != nil {
		return err
	}
	x.record.Invocation = &lateen.Invocation{}
	resp, err := x.edge.caller.Call(x.req.Context(), &x.Call, call.OutputOf(d), x.outbound(call.PathURL(d.Path, d.Query), d), x.record.Invocation)
	if err != nil {
		return x.blame(err)
	}
	if spec.Function.NoStreaming && resp.StatusCode != http.StatusSwitchingProtocols {
		if err := x.buffer(resp); err != nil {
			return err
		}
	}
	return x.relay(resp)
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
