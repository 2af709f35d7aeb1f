package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// FreshFor returns the time that a page is fresh, as the build set it; a negative
// value is no limit.
func FreshFor(p *lateen.Prerender) time.Duration {
	if p.Expiration == nil {
		return -1
	}
	return Seconds(*p.Expiration)
}

// MaxSeconds is a hundred years in seconds, the longest lifetime.
const MaxSeconds = 100 * 365 * 24 * 60 * 60

// Seconds returns n seconds, at least 0 and at most a hundred years.
func Seconds(n int) time.Duration { return time.Duration(min(max(n, 0), MaxSeconds)) * time.Second }

// lifetime is the time that a response may be cached.
type lifetime struct {
	private bool          // whether the response must not be cached
	fresh   time.Duration // time that it is fresh
	usable  time.Duration // time that it is fresh or stale; 0 is unspecified
}

// lifetimeOf reads the most specific of the fields for a shared cache (RFC 9111
// §5.2.2, RFC 5861, RFC 9213). said is false if the field has no lifetime or there is
// no such field.
func lifetimeOf(h http.Header) (l lifetime, said bool) {
	for _, name := range []string{"Vercel-Cdn-Cache-Control", "Cdn-Cache-Control", "Cache-Control"} {
		if values := h[name]; values != nil {
			return readLifetime(values, name != "Cache-Control")
		}
	}
	return l, false
}

// readLifetime reads the values of one field. targeted is set for a field for CDN
// caches: there max-age applies to this cache, elsewhere to the browser.
func readLifetime(values []string, targeted bool) (l lifetime, said bool) {
	fresh, extra := -1, 0
	for directive := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		n, err := strconv.Atoi(strings.Trim(value, `"`))
		if err != nil || n < 0 {
			n = 0
		}
		switch name {
		case "private", "no-store", "no-cache":
			return lifetime{private: true}, true
		case "s-maxage":
			fresh = n
		case "max-age":
			if targeted && fresh < 0 {
				fresh = n
			}
		case "stale-while-revalidate":
			extra = n
		}
	}
	if fresh < 0 {
		return l, false
	}
	l.fresh = Seconds(fresh)
	if extra > 0 {
		l.usable = l.fresh + Seconds(extra)
	}
	l.private = l.fresh == 0 && extra == 0
	return l, true
}
