package header

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the headers that apply to one connection only (RFC 9110 §7.6.1).
var hopByHop = []string{ //nolint:gochecknoglobals // a constant in all but name
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// HopByHop reports whether the header name (canonical) applies to one connection only.
func HopByHop(name string) bool { return slices.Contains(hopByHop, name) }

// Nominated yields the names (canonical) of the fields that the Connection fields of
// h declare to be hop-by-hop (RFC 9110 §7.6.1), without those in hopByHop.
func Nominated(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range h["Connection"] {
			for option := range strings.SplitSeq(list, ",") {
				name := textproto.CanonicalMIMEHeaderKey(textproto.TrimString(option))
				if name != "" && !slices.Contains(hopByHop, name) && !yield(name) {
					return
				}
			}
		}
	}
}

// DropNominated removes from h the fields that its Connection nominates.
func DropNominated(h http.Header) {
	for name := range Nominated(h) {
		delete(h, name)
	}
}

// DropHopByHop removes the hop-by-hop fields from h. The edge removes the nominated
// ones on receipt: see [CleanRequest], [DropNominated].
func DropHopByHop(h http.Header) {
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// Onward returns a copy of a request's header h without the hop-by-hop fields.
func Onward(h http.Header) http.Header {
	h = h.Clone()
	DropHopByHop(h)
	delete(h, "Expect")
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // or net/http would send its own
	}
	return h
}

// DropConditions removes the fields of conditional and range requests (RFC 9110
// §13.1, §14.2) from the header of a request. A page whose status the platform
// replaces must be complete: otherwise the 304 or 206 of the output would be sent
// with the forced status.
func DropConditions(h http.Header) {
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"} {
		delete(h, name)
	}
}
