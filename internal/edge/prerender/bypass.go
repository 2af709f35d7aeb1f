package prerender

import (
	"net/http"

	"github.com/lateen-dev/lateen/internal/route"
)

// bypasses reports whether the request bypasses the cache, and notes the reason: the
// method is neither GET nor HEAD, the client gets drafts, or a bypass condition of the
// page matches. The function then gets the unchanged request.
func (r *request) bypasses() bool {
	reason := ""
	switch method := r.HTTP.Method; {
	case r.Whole:
		return false
	case r.draft():
		reason = reasonDraft
	case r.Site.Router.Bypass(r.Decision.Output).Any(r.RouteRequest(r.HTTP)):
		reason = reasonBypass
	case method != http.MethodGet && method != http.MethodHead:
	default:
		return false
	}
	r.Record.Cache, r.Record.CacheReason = cacheBypass, reason
	return true
}

// draft reports whether the request has the valid cookie of draft mode.
func (r *request) draft() bool {
	cookie, err := r.HTTP.Cookie(draftCookie)
	return err == nil && sameSecret(r.Page.BypassToken, cookie.Value)
}

// bypassDecision returns the decision for a request that bypasses the cache: the page's
// function answers it.
func (r *request) bypassDecision() *route.Decision {
	d := *r.Decision
	d.Kind = route.Function
	if _, ok := r.Site.Manifest.Outputs[r.Page.StreamingPath]; ok {
		d.Output = r.Page.StreamingPath
	}
	return &d
}
