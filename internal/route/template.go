package route

import (
	"cmp"
	"slices"
	"strings"
)

// template is text with parameters: $1, $name, $wildcard, and $NAME and ${NAME} of
// the environment. An undefined name is not a parameter and stays as it is: output
// paths may contain a "$".
type template struct {
	parts []part
}

type part struct {
	kind    partKind
	text    string // plain text, or the name of the variable
	index   int    // index of a group or of a condition's capture
	inQuery bool   // the part comes after a "?"
	keeps   bool   // a rooted value keeps its escapes, see [template.keepEscapes]
	rooted  bool   // every value counts as rooted; else those with a leading slash
}

type partKind int

const (
	plainText  partKind = iota
	groupRef            // a group of src
	captureRef          // a capture of a condition
	envRef
	wildcardRef
)

// scope is the names that the parameters of one route's templates may have.
type scope struct {
	groups   []string // names of src's groups by number
	captures []string // names that conditions define, by index
	env      []string
	patterns patterns
}

// compile compiles text. It takes the longest defined name: with the groups path and
// pathname, $pathname.rsc is pathname; $path_x is path.
func (s *scope) compile(text string) template {
	var t template
	add := func(p part) {
		n := len(t.parts)
		if p.kind == plainText && n > 0 && t.parts[n-1].kind == plainText && t.parts[n-1].inQuery == p.inQuery {
			t.parts[n-1].text += p.text
			return
		}
		t.parts = append(t.parts, p)
	}
	for inQuery := false; text != ""; {
		if p, n := s.parameter(text); n > 0 {
			p.inQuery = inQuery
			add(p)
			text = text[n:]
			continue
		}
		n := 1 + strings.IndexAny(text[1:], "$?")
		if n == 0 {
			n = len(text)
		}
		inQuery = inQuery || text[0] == '?'
		add(part{text: text[:n], inQuery: inQuery})
		text = text[n:]
	}
	return t
}

// parameter reads a parameter at the start of text; n is 0 if there is none.
func (s *scope) parameter(text string) (p part, n int) {
	if text[0] != '$' || len(text) == 1 {
		return part{}, 0
	}
	if text[1] >= '0' && text[1] <= '9' {
		return s.number(text)
	}
	if text[1] == '{' {
		name, _, closed := strings.Cut(text[2:], "}")
		if closed && slices.Contains(s.env, name) {
			return part{kind: envRef, text: name}, len(name) + 3
		}
		return part{}, 0
	}
	end := 1
	for end < len(text) && (isAlnum(text[end]) || text[end] == '_') {
		end++
	}
	for ; end > 1; end-- {
		if p, ok := s.named(text[1:end]); ok {
			return p, end
		}
	}
	return part{}, 0
}

// number reads the longest number of an existing group. For other numbers it reads
// one digit as empty text.
func (s *scope) number(text string) (p part, n int) {
	p, n = part{kind: plainText}, 2
	value := 0
	for i := 1; i < len(text) && text[i] >= '0' && text[i] <= '9' && i <= 3; i++ {
		value = value*10 + int(text[i]-'0')
		if value < len(s.groups) {
			p, n = part{kind: groupRef, index: value}, i+1
		}
	}
	return p, n
}

func (s *scope) named(name string) (part, bool) {
	if i := slices.Index(s.groups, name); i >= 0 {
		return part{kind: groupRef, index: i}, true
	}
	if i := slices.Index(s.captures, name); i >= 0 {
		return part{kind: captureRef, index: i}, true
	}
	if slices.Contains(s.env, name) {
		return part{kind: envRef, text: name}, true
	}
	return part{kind: wildcardRef}, name == "wildcard"
}

// keepEscapes marks query parameters whose readers decode a value once more than the
// query: those of Next.js (nxtPslug=$nxtPslug) and, if t leads to a prerender,
// parameters with a path (__pathname=/posts/$1), which adapters use as the path of a
// URL. The escapes of a canonical path stay in them, so that an encoded slash or
// percent sign reaches the reader as the client sent it.
func (t *template) keepEscapes(kept bool) {
	name, value := "", "" // name of the current parameter, and the first byte of its value
	for i := range t.parts {
		p := &t.parts[i]
		if p.kind != plainText {
			nexts := strings.HasPrefix(name, "nxtP=") || strings.HasPrefix(name, "nxtI=")
			p.keeps, p.rooted = p.inQuery && (kept || nexts), nexts || value == "/"
			value = cmp.Or(value, "$")
			continue
		}
		for _, c := range []byte(p.text) {
			switch {
			case c == '?' || c == '&':
				name, value = "", ""
			case strings.HasSuffix(name, "="):
				value = cmp.Or(value, string(c))
			case c == '=' || len(name) < len("nxtP"):
				name += string(c)
			}
		}
	}
}

// values are the values of the parameters of templates.
type values struct {
	groups   groups
	captures []string
	env      map[string]string
	wildcard string
}

// escaping is the encoding of the values of parameters; plain text stays as it is.
type escaping int

const (
	forPath  escaping = iota // into a canonical path, a query after "?"
	forURL                   // into an absolute URL
	forField                 // into a header field, or as a whole URL
	forText                  // decoded; the caller encodes it
)

// expand returns t with the values of its parameters. It does not allocate if t has
// none.
func (t *template) expand(v *values, how escaping) string {
	switch len(t.parts) {
	case 0:
		return ""
	case 1:
		return t.parts[0].expand(v, how)
	}
	texts := make([]string, 0, 8) // on the stack
	for i := range t.parts {
		texts = append(texts, t.parts[i].expand(v, how))
	}
	return strings.Join(texts, "")
}

func (p *part) expand(v *values, how escaping) string {
	switch p.kind {
	case groupRef:
		if p.index < len(v.groups) {
			return p.escape(v.groups[p.index], how, true)
		}
		return ""
	case captureRef:
		return p.escape(v.captures[p.index], how, false)
	case envRef:
		return v.env[p.text]
	case wildcardRef:
		return v.wildcard
	default:
		return p.text
	}
}

// expandURL is [template.expand] for a URL. A parameter at its start is a URL itself
// and stays as it is.
func (t *template) expandURL(v *values) string {
	if len(t.parts) > 0 && t.parts[0].kind == captureRef {
		return t.expand(v, forField)
	}
	return t.expand(v, forURL)
}

// escape encodes a value. A value from the path (fromPath) is percent-encoded like a
// canonical path; a value of a condition is decoded, so that a "%" in it is an
// ordinary character.
func (p *part) escape(value string, how escaping, fromPath bool) string {
	switch {
	case how == forText && fromPath:
		return decode(value, "")
	case how == forText:
		return value
	case p.keeps && fromPath && (p.rooted || strings.HasPrefix(value, "/")):
		return encodeComponent(value)
	case p.inQuery && fromPath:
		return encodeComponent(decode(value, ""))
	case p.inQuery:
		return encodeComponent(value)
	case how == forField:
		return encodePath(value)
	case !fromPath:
		return encodeSegment(strings.ReplaceAll(value, "%", "%25"))
	case how == forURL:
		return encodeSegment(value)
	default:
		return value
	}
}

// uses reports whether t has a part of the given kind.
func (t *template) uses(kind partKind) bool {
	for i := range t.parts {
		if t.parts[i].kind == kind {
			return true
		}
	}
	return false
}

// constant reports whether t has no parameters.
func (t *template) constant() bool {
	for i := range t.parts {
		if t.parts[i].kind != plainText {
			return false
		}
	}
	return true
}
