package edge

import (
	"net/http"
	"strings"

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

// crawlers are what user agents have in them, in lower case, that index or
// preview pages and do not run their scripts: a shell is of no use to them.
var crawlers = []string{ //nolint:gochecknoglobals // a constant in all but name
	"googlebot", "google-inspectiontool", "mediapartners-google", "adsbot-google", "storebot-google", "apis-google", "feedfetcher-google",
	"bingbot", "bingpreview", "msnbot", "slurp", "duckduckbot", "duckassistbot", "baiduspider", "yandex", "sogou", "petalbot", "yeti", "seznambot", "ia_archiver", "archive.org_bot",
	"applebot", "facebookexternalhit", "facebookcatalog", "facebot", "meta-externalagent", "twitterbot", "linkedinbot", "slackbot", "slack-imgproxy", "discordbot", "telegrambot",
	"whatsapp", "skypeuripreview", "pinterest", "redditbot", "tumblr", "vkshare", "bitlybot", "embedly", "quora link preview", "flipboard", "outbrain", "rogerbot", "w3c_validator",
	"semrushbot", "ahrefsbot", "mj12bot", "screaming frog", "lighthouse", "gptbot", "chatgpt-user", "oai-searchbot", "claudebot", "claude-searchbot", "perplexitybot", "ccbot", "amazonbot", "bytespider",
}

// isCrawler reports whether the sender of a request reads pages for others, by
// what it says of itself.
func isCrawler(r *http.Request) bool {
	agent := strings.ToLower(r.UserAgent())
	for _, name := range crawlers {
		if strings.Contains(agent, name) {
			return true
		}
	}
	return false
}
