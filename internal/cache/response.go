package cache

import (
	"net/http"

	"github.com/lateen-dev/lateen"
)

// storable are the statuses of responses that become cached pages. A cache fill with
// any other status has failed.
var storable = map[int]bool{
	http.StatusOK: true, http.StatusMovedPermanently: true, http.StatusFound: true, http.StatusTemporaryRedirect: true,
	http.StatusPermanentRedirect: true, http.StatusNotFound: true, http.StatusGone: true,
}

// ResponseOf returns the cacheable form of a function's response, whose header has no
// hop-by-hop fields. Its lifetime is the one in the response, else the one that the
// build set for p. It cleans the header of a response that is stored with [CleanHeader].
func ResponseOf(resp *http.Response, p *lateen.Prerender, group string) *Response {
	h := resp.Header
	e := &Entry{Status: resp.StatusCode, Header: h, Group: group, Fresh: FreshFor(p), Usable: Seconds(p.StaleExpiration)}
	reuse := ReuseWaiting
	if storable[resp.StatusCode] {
		reuse = ReuseStored
		switch life, found := lifetimeOf(h); {
		case !found:
		case life.private:
			reuse = ReuseNone
		default:
			if e.Fresh = life.fresh; life.usable > 0 {
				e.Usable = life.usable
			}
		}
	}
	e.Tags = TakeTags(h)
	switch reuse {
	case ReuseStored:
		CleanHeader(h)
	case ReuseWaiting:
		delete(h, "Set-Cookie")
	case ReuseNone:
	}
	delete(h, "Content-Length")
	length := resp.ContentLength
	if resp.Uncompressed {
		length = -1
	}
	return &Response{Entry: e, Body: resp.Body, Length: length, Reuse: reuse}
}

// CleanHeader removes from the header of a cached response the fields for one client and
// those for caches. It retains no-transform, which applies to every copy of the
// content.
func CleanHeader(h http.Header) {
	if NoTransform(h) {
		defer func() { h["Cache-Control"] = revalidateUntransformed }()
	}
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Cdn-Cache-Control", "Age", "Expires", "Content-Length"} {
		delete(h, name)
	}
}
