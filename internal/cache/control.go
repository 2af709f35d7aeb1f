package cache

import (
	"net/http"
	"strings"
)

// NoTransform reports whether h has the no-transform directive (RFC 9111 §5.2.2.6).
func NoTransform(h http.Header) bool {
	for _, v := range h["Cache-Control"] {
		if strings.Contains(strings.ToLower(v), "no-transform") {
			return true
		}
	}
	return false
}

// ClientControl returns the Cache-Control for the client: without s-maxage and
// the stale- directives, which are for the CDN. If no directive about the lifetime is
// left, the client must revalidate the response.
func ClientControl(values []string) []string {
	if len(values) == 0 {
		return revalidate
	}
	var forClient []string
	decided, shared, fixed := false, false, false
	for directive := range strings.SplitSeq(strings.Join(values, ","), ",") {
		directive = strings.TrimSpace(directive)
		name, _, _ := strings.Cut(strings.ToLower(directive), "=")
		switch name {
		case "s-maxage", "stale-while-revalidate", "stale-if-error":
			shared = true
			continue
		case "max-age", "no-store", "no-cache", "private":
			decided = true
		case "no-transform":
			fixed = true
		case "":
			continue
		}
		forClient = append(forClient, directive)
	}
	switch {
	case !shared:
		return values
	case !decided && fixed:
		return revalidateUntransformed
	case !decided:
		return revalidate
	default:
		return []string{strings.Join(forClient, ", ")}
	}
}

// Values of Cache-Control that many responses share; they are never modified.
//
//nolint:gochecknoglobals // constants in all but name
var (
	revalidate              = []string{"public, max-age=0, must-revalidate"}
	revalidateUntransformed = []string{"public, max-age=0, must-revalidate, no-transform"}
)
