// Package accept reads the request fields of content negotiation (RFC 9110 §12) and
// of ranges, and recognizes crawlers.
package accept

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// List yields the elements of a list field such as Accept, in lower case and without
// parameters, each with its quality (RFC 9110 §12.4.2). An invalid quality counts
// as 0.
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

// quality returns the parameter q of an element, 1 if there is none.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) { // also false for NaN
			return 0
		}
		return q
	}
	return 1
}

// Type returns the client's quality for the media type, from 0 (not acceptable) to 1,
// by the most specific element that matches it. A match by name has a slightly higher
// quality than one by a wildcard.
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

// Coding returns the content coding that the client prefers among offers, which are in
// the order of the server's preference; "" is none (RFC 9110 §12.5.3).
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

// codingQuality returns the client's quality for a coding, 0 if neither the coding's
// name nor * is in values.
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
