package route

import "strings"

// confined reports whether the values of t's parameters stay in their places in the
// URL that t makes:
//
//   - No value makes a dot segment. A route that leads to "/public/$file" must
//     not lead to "/private", past the routes and middleware that guard it. A
//     segment may also end with an encoded slash or backslash, because servers
//     behind an external rewrite may decode those first.
//   - No value changes the host: "https://$name.example.com/" leads to a host
//     below example.com for every value.
//
// Values of the environment and of wildcard domains are trusted.
func (t *template) confined(v *values) bool {
	return t.keepsHost(v) && t.keepsSegments(v)
}

// fromRequest reports whether the value of p comes from a client.
func (p *part) fromRequest() bool { return p.kind == groupRef || p.kind == captureRef }

// keepsSegments reports whether no value of a parameter makes a dot segment.
func (t *template) keepsSegments(v *values) bool {
	suspect := false
	for i := range t.parts {
		p := &t.parts[i]
		if p.inQuery {
			break
		}
		if p.fromRequest() {
			suspect = suspect || strings.Contains(p.expand(v, forURL), ".") || i > 0 && strings.HasSuffix(t.parts[i-1].text, ".")
		}
	}
	if !suspect {
		return true
	}
	var filled, written strings.Builder // written has a letter in place of each value
	for i := range t.parts {
		p := &t.parts[i]
		if p.inQuery {
			break
		}
		text := p.expand(v, forURL)
		filled.WriteString(text)
		if p.fromRequest() {
			text = "x"
		}
		written.WriteString(text)
	}
	return dotSegments(filled.String()) <= dotSegments(written.String())
}

// dotSegments counts the segments of an encoded path or URL that are "." or "..".
func dotSegments(path string) (n int) {
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "?")
	for segment := range strings.FieldsFuncSeq(decode(path, ""), func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			n++
		}
	}
	return n
}

// keepsHost reports whether no value of a parameter ends the host of an absolute URL
// early, or extends a complete host.
func (t *template) keepsHost(v *values) bool {
	if len(t.parts) < 2 || t.parts[0].fromRequest() {
		return true
	}
	var host string // the host so far, with the scheme
	for i := range t.parts {
		p := &t.parts[i]
		text := p.expand(v, forURL)
		if i == 0 {
			host = text
			continue
		}
		authority, absolute := cutScheme(host)
		if !absolute || strings.ContainsAny(authority, "/?#") {
			return true
		}
		if p.fromRequest() && !fitsHost(authority, text, i+1 == len(t.parts) || endsHost(&t.parts[i+1])) {
			return false
		}
		host += text
	}
	return true
}

// endsHost reports whether the part after a host begins the path.
func endsHost(p *part) bool {
	return p.kind == plainText && (p.text == "" || strings.IndexByte("/?#", p.text[0]) >= 0)
}

// fitsHost reports whether value may follow the text of a host. last means that
// value ends the host.
func fitsHost(before, value string, last bool) bool {
	if last && before != "" && strings.IndexByte(".:-", before[len(before)-1]) < 0 {
		return value == "" || value[0] == '/'
	}
	for i := range len(value) {
		if !isAlnum(value[i]) && strings.IndexByte("-._", value[i]) < 0 {
			return false
		}
	}
	return true
}
