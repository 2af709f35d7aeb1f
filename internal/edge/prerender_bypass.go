package edge

import (
	"net/http"

	"github.com/lateen-dev/lateen/internal/route"
)

// bypasses reports whether the request is not for a kept page, and notes why:
// it would change something, its visitor sees drafts, or the page's own
// conditions say so. Then the function gets the request as it is.
func (r *rendering) bypasses() bool {
	reason := ""
	switch method := r.req.Method; {
	case r.isError:
		return false
	case r.draft():
		reason = reasonDraft
	case r.site.router.Bypass(r.d.Output).Any(r.routeRequest()):
		reason = reasonBypass
	case method != http.MethodGet && method != http.MethodHead:
	default:
		return false
	}
	r.record.Cache, r.record.CacheReason = cacheBypass, reason
	return true
}

// draft reports whether the visitor has the cookie that shows drafts.
func (r *rendering) draft() bool {
	cookie, err := r.req.Cookie(draftCookie)
	return err == nil && sameSecret(r.page.BypassToken, cookie.Value)
}

// past is the decision to have the page's function answer instead of the page.
func (r *rendering) past() *route.Decision {
	d := *r.d
	if _, ok := r.site.Manifest.Outputs[r.page.StreamingPath]; ok {
		d.Output = r.page.StreamingPath
	}
	return &d
}
