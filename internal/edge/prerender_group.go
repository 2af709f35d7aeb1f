package edge

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

// maxMembers bounds the entries that are made with another.
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

// members returns the other outputs of the page's group that have the same parameters:
// its data, where it is a document. Each is asked for behind the page, in the instance
// that made it where that has room, and as the same call: a framework that remembers
// what it rendered answers with another form of that. x and extra are those of the
// page's making, and made tells how its function was called.
func (r *rendering) members(x *exchange, extra http.Header, made *atomic.Pointer[lateen.Invocation]) (members []cache.Member) {
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
		asked := aspectOf(r.exchange, d, &page)
		if asked.group(page.Group, output) != group {
			continue
		}
		further := allowedHeader(extra, &page)
		members = append(members, cache.Member{Key: asked.key(r.site, output), Make: func(ctx context.Context) (*cache.Draft, error) {
			inv := &lateen.Invocation{}
			if first := made.Load(); first != nil {
				inv.Instance = first.Instance
			}
			resp, err := e.call(ctx, x, d, asked.request(&page, further), inv) //nolint:bodyclose // the draft has it
			if err != nil {
				return nil, err
			}
			return draftOf(resp, &page, group), nil
		}})
	}
	return members
}
