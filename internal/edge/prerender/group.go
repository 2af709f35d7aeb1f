package prerender

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// maxMembers bounds the further entries of one cache fill.
const maxMembers = 32

// members returns the other outputs of the page's group that have the same parameters,
// such as the data of a document. The cache requests each after the page, from the
// instance that made the page if that has a free slot, and under the same invocation
// ID: a framework that caches its rendering under this ID answers with another form
// of it. k and extra are those of the page's cache fill; made has its invocation.
func (r *request) members(k *call.Call, extra http.Header, made *atomic.Pointer[lateen.Invocation]) (members []cache.Member) {
	outputs := r.Site.Groups[r.Page.Group]
	if r.Whole || len(outputs) == 0 {
		return nil
	}
	req := r.RouteRequest(r.HTTP)
	if own := r.Site.Router.Page(req, r.Decision.Output); own.Path != r.Decision.Path {
		return nil // a transform has chosen the path
	}
	functions, group := r.pages.o.Functions, r.group
	for _, output := range outputs {
		if output == r.Decision.Output || len(members) == maxMembers {
			continue
		}
		page := r.Site.Manifest.Prerenders[output]
		d := r.Site.Router.Page(req, output)
		d.Query, d.RequestHeader = r.Decision.Query, r.Decision.RequestHeader
		v := variantOf(r.Call, d, &page)
		if v.group(page.Group, output) != group {
			continue
		}
		further := allowedHeader(extra, &page)
		members = append(members, cache.Member{Key: v.key(r.Site, output), Generate: func(ctx context.Context) (*cache.Response, error) {
			inv := &lateen.Invocation{}
			if first := made.Load(); first != nil {
				inv.Instance = first.Instance
			}
			resp, err := functions.Call(ctx, k, call.OutputOf(d), v.request(&page, further), inv) //nolint:bodyclose // the cache closes the body of the draft
			if err != nil {
				return nil, err
			}
			return draftOf(resp, &page, group), nil
		}})
	}
	return members
}
