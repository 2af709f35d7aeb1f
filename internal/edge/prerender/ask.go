package prerender

import (
	"maps"
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// request returns the request for the page to the function of p.
func (v *variant) request(p *lateen.Prerender, extra http.Header) *http.Request {
	h := make(http.Header, len(v.header)+len(extra)+8)
	h["User-Agent"] = []string{""} // or net/http would send its own
	maps.Copy(h, v.header)
	maps.Copy(h, extra)
	if !p.PassQuery {
		h["X-Now-Route-Matches"] = []string{v.matches}
	}
	return &http.Request{
		Method: http.MethodGet, URL: call.PathURL(v.path, v.query), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// allowedHeader returns the fields of h about a requested refresh that p allows.
func allowedHeader(h http.Header, p *lateen.Prerender) http.Header {
	out := http.Header{}
	for _, name := range p.AllowHeader {
		name = http.CanonicalHeaderKey(name)
		if values := h[name]; values != nil && (name == headerRevalidate || name == headerIfGenerated) {
			out[name] = values
		}
	}
	return out
}

// draftOf returns the cacheable form of a function's response.
func draftOf(resp *http.Response, p *lateen.Prerender, group string) *cache.Response {
	header.DropHopByHop(resp.Header)
	draft := cache.ResponseOf(resp, p, group)
	if draft.Reuse == cache.ReuseStored {
		header.CleanResponse(resp.Header)
	}
	return draft
}
