package edge

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

// maxMembers bounds the further entries of one cache fill.
const maxMembers = 32

// groupsOf returns the outputs of each group of a manifest that has several, in order.
func groupsOf(m *lateen.Manifest) map[int][]string {
	groups := map[int][]string{}
	for output, p := range m.Prerenders {
		if _, run := m.Outputs[output]; run && p.Group > 0 {
			groups[p.Group] = append(groups[p.Group], output)
		}
	}
	for number, outputs := range groups {
		if slices.Sort(outputs); len(outputs) < 2 {
			delete(groups, number)
		}
	}
	return groups
}

// members returns the other outputs of the page's group that have the same parameters,
// such as the data of a document. The cache requests each after the page, from the
// instance that made the page if that has a free slot, and under the same invocation
// ID: a framework that remembers its rendering under this ID answers with another form
// of it. x and extra are those of the page's cache fill; made has its invocation.
func (r *pageRequest) members(x *exchange, extra http.Header, made *atomic.Pointer[lateen.Invocation]) (members []cache.Member) {
	outputs := r.site.groups[r.page.Group]
	if r.isError || len(outputs) == 0 {
		return nil
	}
	req := r.routeRequest()
	if own := r.site.router.Page(req, r.d.Output); own.Path != r.d.Path {
		return nil // a transform has chosen the path
	}
	e, group := r.edge, r.group
	for _, output := range outputs {
		if output == r.d.Output || len(members) == maxMembers {
			continue
		}
		page := r.site.Manifest.Prerenders[output]
		d := r.site.router.Page(req, output)
		d.Query, d.RequestHeader = r.d.Query, r.d.RequestHeader
		v := variantOf(r.exchange, d, &page)
		if v.group(page.Group, output) != group {
			continue
		}
		further := allowedHeader(extra, &page)
		members = append(members, cache.Member{Key: v.key(r.site, output), Make: func(ctx context.Context) (*cache.Draft, error) {
			inv := &lateen.Invocation{}
			if first := made.Load(); first != nil {
				inv.Instance = first.Instance
			}
			resp, err := e.call(ctx, x, d, v.request(&page, further), inv) //nolint:bodyclose // the cache closes the body of the draft
			if err != nil {
				return nil, err
			}
			return draftOf(resp, &page, group), nil
		}})
	}
	return members
}
