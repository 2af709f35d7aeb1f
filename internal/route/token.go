package route

import (
	"fmt"
	"slices"
	"unicode"

	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// tokenKind is the kind of a token of [scan].
type tokenKind int

const (
	literal tokenKind = iota
	dot               // any character of a line
	segment           // any character but a slash
	atom              // another class, a back reference
	assert            // an assertion: ^ $ \b \B
	bar               // |
	open
	closing
)

// token is a part of a pattern, in the order of the source.
type token struct {
	kind       tokenKind
	node       *jsregexp.Node
	text       string // text of a literal
	quantifier string // in the form of the source: "", "*", "+?", "{2,3}", …

	// For an open token: its parenthesis ("(", "(?:", or "(?" for look-around and
	// atomic groups), the index of its closing token, and whether it has a bar of
	// its own.
	flavour string
	partner int
	barred  bool
}

// scan lists the tokens of n.
func scan(n *jsregexp.Node) []token { return appendTokens(nil, n, "") }

func appendTokens(tokens []token, n *jsregexp.Node, quantifier string) []token {
	t := token{node: n, quantifier: quantifier}
	switch n.Kind {
	case jsregexp.Char:
		t.kind, t.text = literal, string(n.Rune)
	case jsregexp.Dot:
		t.kind = dot
	case jsregexp.Class:
		if t.kind = atom; slices.Equal(n.Set, notSlash) {
			t.kind = segment
		}
	case jsregexp.Backref:
		t.kind = atom
	case jsregexp.Begin, jsregexp.End, jsregexp.Word, jsregexp.NotWord:
		t.kind = assert
	case jsregexp.Repeat:
		return appendTokens(tokens, n.Subs[0], quantifierOf(n))
	case jsregexp.Capture:
		return enclose(tokens, n, "(", quantifier)
	case jsregexp.Look, jsregexp.Atomic:
		return enclose(tokens, n, "(?", quantifier)
	case jsregexp.Concat, jsregexp.Alternate:
		if quantifier != "" || n.Kind == jsregexp.Alternate {
			return enclose(tokens, n, "(?:", quantifier)
		}
		for _, sub := range n.Subs {
			tokens = appendTokens(tokens, sub, "")
		}
		return tokens
	}
	return append(tokens, t)
}

var notSlash = jsregexp.Set{0, '/' - 1, '/' + 1, unicode.MaxRune} //nolint:gochecknoglobals // a constant in all but name

// enclose lists the tokens of a group.
func enclose(tokens []token, n *jsregexp.Node, flavour, quantifier string) []token {
	at := len(tokens)
	tokens = append(tokens, token{kind: open, node: n, flavour: flavour, barred: n.Kind == jsregexp.Alternate})
	for i, sub := range n.Subs {
		if i > 0 && n.Kind == jsregexp.Alternate {
			tokens = append(tokens, token{kind: bar, node: n})
		}
		tokens = appendTokens(tokens, sub, "")
	}
	tokens[at].partner = len(tokens)
	return append(tokens, token{kind: closing, node: n, quantifier: quantifier, partner: at})
}

// transparent reports whether tokens[i] opens or closes a group that does not change
// the meaning of its content: without a bar, a quantifier or a condition.
func transparent(tokens []token, i int) bool {
	switch t := tokens[i]; t.kind {
	case open:
		return t.flavour != "(?" && !t.barred && tokens[t.partner].quantifier == ""
	case closing:
		return transparent(tokens, t.partner)
	default:
		return false
	}
}

func quantifierOf(n *jsregexp.Node) string {
	quantifier := fmt.Sprintf("{%d,%d}", n.Min, n.Max)
	switch [2]int{n.Min, n.Max} {
	case [2]int{0, -1}:
		quantifier = "*"
	case [2]int{1, -1}:
		quantifier = "+"
	case [2]int{0, 1}:
		quantifier = "?"
	}
	if n.Lazy {
		quantifier += "?"
	}
	return quantifier
}
