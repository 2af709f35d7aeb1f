package prerender

import "crypto/subtle"

// Fields by which a framework requests the refresh of pages. Each takes effect only
// with the bypass token of the page.
const (
	headerRevalidate      = "X-Prerender-Revalidate"              // bypass token: refresh this page
	headerIfGenerated     = "X-Prerender-Revalidate-If-Generated" // with headerRevalidate: only if the page exists
	headerRevalidatedTags = "X-Next-Revalidated-Tags"             // tags that were just invalidated
	headerTagToken        = "X-Next-Revalidate-Tag-Token"         //nolint:gosec // a header's name
	draftCookie           = "__prerender_bypass"                  // bypass token: the client gets drafts
)

// sameSecret reports whether got is the secret want, in constant time. An empty
// secret matches nothing.
func sameSecret(want, got string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}
