package route

import "strings"

// linear is a regular expression that can be matched from left to right without
// backtracking: text, groups, whole segments ([^/]+), and at the end .* and an
// optional slash. Most routes have this form. Its groups are the same as those of a
// regular expression engine.
type linear []step

type step struct {
	kind  stepKind
	text  string // text of exactly
	group int    // group of opens and closes
	least int    // fewest bytes of oneSegment and anything, 0 or 1
	lazy  bool   // of anything: leaves a last slash to maySlash
}

type stepKind int

const (
	exactly    stepKind = iota
	opens               // a group begins
	closes              // a group ends
	oneSegment          // up to the next slash
	anything            // up to the end
	maySlash            // a slash or nothing, at the end
)

// linearise returns the linear form of tokens, an expression without its anchors and
// look-around, or nil if it has none. isText reports whether a token is text that
// can be compared as it is.
func linearise(tokens []token, isText func(token) bool) linear {
	steps := make(linear, 0, len(tokens))
	numbers := map[int]int{} // group numbers by opening token
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		s := step{least: strings.Count(t.quantifier, "+"), lazy: len(t.quantifier) == 2}
		switch {
		case isText(t):
			s = step{kind: exactly, text: t.text}
		case t.kind == literal && t.text == "/" && t.quantifier == "?":
			s = step{kind: maySlash}
		case isMaySlash(tokens[i:]):
			s = step{kind: maySlash}
			i += 2
		case t.kind == dot && isPlainRepeat(t.quantifier):
			s.kind = anything
		case t.kind == segment && isPlainRepeat(t.quantifier):
			s.kind = oneSegment
		case t.kind == open && t.flavour == "(" && transparent(tokens, i):
			numbers[i] = len(numbers) + 1
			s = step{kind: opens, group: numbers[i]}
		case t.kind == closing && t.quantifier == "" && tokens[t.partner].flavour == "(":
			s = step{kind: closes, group: numbers[t.partner]}
		case transparent(tokens, i):
			continue
		default:
			return nil
		}
		steps = append(steps, s)
	}
	if !steps.isBacktrackFree() {
		return nil
	}
	return steps
}

// isMaySlash reports whether tokens begin with (?:/)?.
func isMaySlash(tokens []token) bool {
	return len(tokens) >= 3 && tokens[0].flavour == "(?:" && tokens[1].text == "/" && tokens[1].quantifier == "" &&
		tokens[2].kind == closing && tokens[2].quantifier == "?"
}

func isPlainRepeat(quantifier string) bool {
	switch quantifier {
	case "*", "+", "*?", "+?":
		return true
	default:
		return false
	}
}

// isBacktrackFree reports whether each step is independent of later ones: a segment
// ends at a slash or at the end of the text, and no step follows anything.
func (l linear) isBacktrackFree() bool {
	for i, s := range l {
		rest := l[i+1:]
		for s.kind != maySlash && len(rest) > 0 && (rest[0].kind == opens || rest[0].kind == closes) {
			rest = rest[1:]
		}
		atEnd := len(rest) == 0 || rest[0].kind == maySlash
		switch s.kind {
		case oneSegment:
			if !atEnd && (rest[0].kind != exactly || rest[0].text[0] != '/') {
				return false
			}
		case anything:
			if !atEnd {
				return false
			}
		case maySlash:
			if len(rest) > 0 {
				return false
			}
		case exactly, opens, closes:
		}
	}
	return true
}

// match reports whether l matches text, compared by same. If into is not nil, match
// sets it to the count groups.
func (l linear) match(text string, same func(text, literal string) bool, into *groups, count int) bool {
	if into != nil {
		*into = (*into)[:0]
		for range count {
			*into = append(*into, "")
		}
		(*into)[0] = text
	}
	at := 0
	for i := range l {
		s := &l[i]
		rest := text[at:]
		n := 0
		switch s.kind {
		case exactly:
			n = len(s.text)
			if len(rest) < n || !same(rest[:n], s.text) {
				return false
			}
		case oneSegment:
			if n = strings.IndexByte(rest, '/'); n < 0 {
				n = len(rest)
			}
		case anything:
			if hasLineEnd(rest) {
				return false
			}
			n = len(rest)
			if s.lazy && l[len(l)-1].kind == maySlash && n > s.least && rest[n-1] == '/' {
				n--
			}
		case maySlash:
			if rest != "" && rest[0] == '/' {
				n = 1
			}
		case opens:
			if into != nil {
				(*into)[s.group] = rest
			}
		case closes:
			if into != nil {
				begun := (*into)[s.group]
				(*into)[s.group] = begun[:len(begun)-len(rest)]
			}
		}
		if n < s.least {
			return false
		}
		at += n
	}
	return at == len(text)
}

// hasLineEnd reports whether text has a line terminator (LineTerminator of ECMA-262,
// 12.3), which a dot does not match.
func hasLineEnd(text string) bool {
	return strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 ||
		strings.IndexByte(text, 0xe2) >= 0 && (strings.Contains(text, "\u2028") || strings.Contains(text, "\u2029"))
}
