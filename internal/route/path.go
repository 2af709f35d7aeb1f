package route

import (
	"path"
	"strings"
	"unicode/utf8"
)

// subject is a path in the forms that patterns and outputs are compared with.
//
// Every percent-encoding of the same path has one canonical form: decoded, except
// for the bytes that would change the meaning of the path ('/', '\', '?', '#', '%',
// control characters, U+2028, U+2029 and invalid UTF-8), which stay encoded with
// upper-case digits; slashes collapsed, dot segments removed. A client therefore
// cannot bypass a route by another spelling of the path.
type subject struct {
	path    string // canonical
	encoded string // percent-encoded path as in a URL; the same string if no byte needs encoding
	decoded string // path with its encoded slashes decoded, as some outputs see it; "" if it has none
}

func newSubject(raw string) subject {
	if raw == "" || raw[0] != '/' {
		raw = "/" + raw
	}
	s := subject{path: canonical(raw)}
	s.encoded = encodePath(s.path)
	if strings.Contains(s.path, "%2F") {
		s.decoded = canonical(strings.ReplaceAll(s.path, "%2F", "/"))
	}
	return s
}

// canonical returns the canonical form of an absolute path.
func canonical(raw string) string {
	if !needsCanon(raw) {
		return raw
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c, escaped := raw[i], false
		if c == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]) {
			c, escaped = unhex(raw[i+1])<<4|unhex(raw[i+2]), true
			i += 2
		}
		switch {
		case c == '/' && !escaped:
			if len(b) == 0 || b[len(b)-1] != '/' {
				b = append(b, c)
			}
		case c == '/' || c == '\\' || c == '?' || c == '#' || c == '%' || isControl(c):
			b = appendEscape(b, c)
		default:
			b = append(b, c)
		}
	}
	if !utf8.Valid(b) {
		b = escapeInvalid(b)
	}
	return removeDots(lineEnds.Replace(string(b)))
}

// lineEnds stay encoded, like control characters: the dot of a pattern does not
// match them (LineTerminator of ECMA-262, 12.3), and a route for "/admin/.*" must
// apply to all paths below /admin.
//
//nolint:gochecknoglobals // a constant in all but name
var lineEnds = strings.NewReplacer("\u2028", "%E2%80%A8", "\u2029", "%E2%80%A9")

// needsCanon reports whether raw may differ from its canonical form.
func needsCanon(raw string) bool {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '%' || c == '\\' || c == '?' || c == '#' || isControl(c) || c >= utf8.RuneSelf:
			return true
		case c == '/' && i+1 < len(raw) && (raw[i+1] == '/' || raw[i+1] == '.'):
			return true
		}
	}
	return false
}

func escapeInvalid(b []byte) []byte {
	valid := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			valid = appendEscape(valid, b[0])
		} else {
			valid = append(valid, b[:n]...)
		}
		b = b[n:]
	}
	return valid
}

// removeDots resolves "." and ".." segments and keeps a trailing slash.
func removeDots(p string) string {
	if !strings.Contains(p, "/.") {
		return p
	}
	clean := path.Clean(p)
	if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		clean += "/"
	}
	return clean
}

// encodePath percent-encodes the characters that a URL's path must not have. It does
// not encode '%', which always begins an escape in a canonical path.
func encodePath(p string) string {
	return escape(p, charset{
		lo: controls | 1<<' ' | 1<<'"' | 1<<'<' | 1<<'>',
		hi: 1<<('\\'-64) | 1<<('^'-64) | 1<<('`'-64) | 1<<('{'-64) | 1<<('}'-64) | 1<<63,
	})
}

// urlPath is [encodePath] and '|' (RFC 3986 §3.3). A reader that repairs an invalid
// path decodes the whole path: net/url turns "/a%2F..%2Fb|" into "/a/../b%7C".
func urlPath(p string) string {
	return escape(encodePath(p), charset{hi: 1 << ('|' - 64)})
}

// uri returns a reference in the form of RFC 3986 (2.1): characters that a URI must
// not have are percent-encoded, and so is a '%' that begins no escape; escapes stay
// as they are.
func uri(reference string) string {
	reference = urlPath(reference)
	if strings.IndexByte(reference, '%') < 0 {
		return reference
	}
	b := make([]byte, 0, len(reference)+2)
	for i := range len(reference) {
		b = append(b, reference[i])
		if reference[i] == '%' && (i+2 >= len(reference) || !isHex(reference[i+1]) || !isHex(reference[i+2])) {
			b = append(b, "25"...)
		}
	}
	return string(b)
}

// encodeSegment is [encodePath] for text that must not end the path either.
func encodeSegment(text string) string {
	return escape(encodePath(text), charset{lo: 1<<'?' | 1<<'#'})
}

// encodeComponent percent-encodes text for one value of a query.
func encodeComponent(text string) string {
	return escape(text, charset{
		lo: controls | 1<<' ' | 1<<'"' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'+' | 1<<',' | 1<<'/' |
			1<<':' | 1<<';' | 1<<'<' | 1<<'=' | 1<<'>' | 1<<'?',
		hi: 1<<('@'-64) | 1<<('['-64) | 1<<('\\'-64) | 1<<(']'-64) | 1<<('^'-64) | 1<<('`'-64) |
			1<<('{'-64) | 1<<('|'-64) | 1<<('}'-64) | 1<<63,
	})
}

// charset is a set of ASCII characters: a bit each, from 0 and from 64.
type charset struct{ lo, hi uint64 }

const controls = 1<<0x20 - 1

func (s charset) has(c byte) bool {
	if c < 64 {
		return s.lo>>c&1 != 0
	}
	return s.hi>>(c-64)&1 != 0
}

// escape percent-encodes the characters of set and all non-ASCII bytes.
func escape(text string, set charset) string {
	n := 0
	for i := range len(text) {
		if c := text[i]; c >= utf8.RuneSelf || set.has(c) {
			n++
		}
	}
	if n == 0 {
		return text
	}
	b := make([]byte, 0, len(text)+2*n)
	for i := range len(text) {
		if c := text[i]; c >= utf8.RuneSelf || set.has(c) {
			b = appendEscape(b, c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// decode decodes percent-encoding. Invalid escapes stay as they are, and so do the
// bytes in keep.
func decode(text, keep string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			if c := unhex(text[i+1])<<4 | unhex(text[i+2]); strings.IndexByte(keep, c) < 0 {
				b = append(b, c)
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(b, '%', hex[c>>4], hex[c&15])
}

func isControl(c byte) bool { return c < 0x20 || c == 0x7f }

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	default:
		return c - '0'
	}
}

// forImages reports whether a canonical path is one of the platform's image paths.
// The platform does not route them to outputs of a deployment.
func forImages(path string) bool {
	path = strings.TrimSuffix(path, "/")
	return path == "/_next/image" || path == "/_vercel/image"
}
