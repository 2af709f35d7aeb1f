package edge

import (
	"net/http"

	"github.com/lateen-dev/lateen/internal/route"
)

// bypasses reports whether the request bypasses the cache, and notes the reason: the
// method is neither GET nor HEAD, the client gets drafts, or a bypass condition of the
// page matches. The function then gets the unchanged request.
func (r *pageRequest) bypasses() bool {
	reason := ""
	switch method := r.req.Method; {
	case r.isError:
		return false
	case r.draft():
		reason = reasonDraft
	case r.Site.Router.Bypass(r.d.Output).Any(r.RouteRequest(r.req)):
		reason = reasonBypass
	case method != http.MethodGet && method != http.MethodHead:
	default:
		return false
	}
	r.record.Cache, r.record.CacheReason = cacheBypass, reason
	return true
}

// draft reports whether the request has the valid cookie of draft mode.
func (r *pageRequest) draft() bool {
	cookie, err := r.req.Cookie(draftCookie)
	return err == nil && sameSecret(r.page.BypassToken, cookie.Value)
}

// bypassDecision returns the decision for a request that bypasses the cache: the page's
// function answers it.
func (r *pageRequest) bypassDecision() *route.Decision {
	d := *r.d
	if _, ok := r.Site.Manifest.Outputs[r.page.StreamingPath]; ok {
		d.Output = r.page.StreamingPath
	}
	return &d
}
