// Package accept reads the header fields by which a client says what it takes
// (RFC 9110 §12) and whom it reads pages for.
package accept

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// List yields the elements of a list field such as Accept, in lower case
// without parameters, each with its quality (RFC 9110 §12.4.2). A quality
// that makes no sense counts as 0.
func List(values []string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, list := range values {
			for element := range strings.SplitSeq(list, ",") {
				name, params, _ := strings.Cut(element, ";")
				name = strings.ToLower(strings.TrimSpace(name))
				if name != "" && !yield(name, quality(params)) {
					return
				}
			}
		}
	}
}

// quality is the q among the parameters of an element; 1 where there is none.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) { // as NaN is neither
			return 0
		}
		return q
	}
	return 1
}

// Type is how much the client likes the media type, by the most specific
// element that covers it: from 0, not at all, to 1. A type named outright counts
// a little more than one that a wildcard covers.
func Type(h http.Header, mediaType string) float64 {
	major, _, _ := strings.Cut(mediaType, "/")
	best, level := 0.0, 0
	for name, q := range List(h["Accept"]) {
		switch {
		case name == mediaType:
			return q
		case name == major+"/*" && level < 2:
			best, level = q*0.99, 2
		case name == "*/*" && level < 1:
			best, level = q*0.98, 1
		}
	}
	return best
}

// Coding returns the content coding, of those offered in order of the
// server's liking, that the client prefers; "" is none (RFC 9110 §12.5.3).
func Coding(values []string, offers ...string) string {
	if len(values) == 0 {
		return ""
	}
	best, chosen := 0.0, ""
	for _, offer := range offers {
		if q := codingQuality(values, offer); q > best {
			best, chosen = q, offer
		}
	}
	if identity, named := namedQuality(values, "identity"); named && identity > best {
		return ""
	}
	return chosen
}

// codingQuality is how much the client likes a coding; one that it names
// neither itself nor by * it does not know.
func codingQuality(values []string, coding string) float64 {
	if q, named := namedQuality(values, coding); named {
		return q
	}
	if coding == "gzip" {
		if q, named := namedQuality(values, "x-gzip"); named {
			return q
		}
	}
	q, _ := namedQuality(values, "*")
	return q
}

func namedQuality(values []string, name string) (q float64, named bool) {
	for element, q := range List(values) {
		if element == name {
			return q, true
		}
	}
	return 0, false
}
