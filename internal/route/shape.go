package route

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unname turns the named groups of a regular expression into plain ones, so that
// every engine numbers groups in the order of their parentheses. names has the
// name of each group by number ("" for none); names[0] is the whole match.
func unname(source string) (plain string, names []string, err error) {
	var b strings.Builder
	names = []string{""}
	for i := 0; i < len(source); {
		rest := source[i:]
		switch {
		case strings.HasPrefix(rest, `\k<`) || strings.HasPrefix(rest, `\k{`) || strings.HasPrefix(rest, `\k'`):
			name, n := groupName(rest[2:])
			number := slices.Index(names, name)
			if number < 1 {
				return "", nil, fmt.Errorf("%s names no group before it", rest[:2+n])
			}
			b.WriteString(`(?:\` + strconv.Itoa(number) + `)`)
			i += 2 + n
		case rest[0] == '(' && !strings.HasPrefix(rest, "(?"):
			names = append(names, "")
			b.WriteByte('(')
			i++
		case rest[0] == '(':
			name, n := groupName(strings.TrimPrefix(rest[2:], "P"))
			if name == "" {
				b.WriteString("(?")
				i += 2
				continue
			}
			if strings.HasPrefix(rest, "(?P") {
				n++
			}
			names = append(names, name)
			b.WriteByte('(')
			i += 2 + n
		default:
			n := atomLen(rest)
			b.WriteString(rest[:n])
			i += n
		}
	}
	return b.String(), names, nil
}

// groupName reads <name>, {name} or 'name' at the start of text and returns the
// name and the length of the whole; "" if there is none.
func groupName(text string) (name string, n int) {
	if text == "" {
		return "", 0
	}
	end := map[byte]byte{'<': '>', '{': '}', '\'': '\''}[text[0]]
	if end == 0 {
		return "", 0
	}
	name, _, found := strings.Cut(text[1:], string(end))
	if !found || !isName(name) {
		return "", 0
	}
	return name, len(name) + 2
}

func isName(text string) bool {
	for i := range len(text) {
		if !isAlnum(text[i]) && text[i] != '_' {
			return false
		}
	}
	return text != ""
}

// atomLen returns the length of the first atom of a regular expression that is
// no parenthesis: a class, an escape or a character.
func atomLen(re string) int {
	switch {
	case re[0] == '\\' && strings.HasPrefix(re, `\Q`):
		if quoted, _, found := strings.Cut(re, `\E`); found {
			return len(quoted) + 2
		}
		return len(re)
	case re[0] == '\\' && len(re) > 1:
		_, n := utf8.DecodeRuneInString(re[1:])
		return 1 + n
	case re[0] == '[':
		return classLen(re)
	default:
		_, n := utf8.DecodeRuneInString(re)
		return n
	}
}

func classLen(re string) int {
	i := 1
	if i < len(re) && re[i] == '^' {
		i++
	}
	for first := true; i < len(re); first = false {
		switch {
		case re[i] == ']' && !first:
			return i + 1
		case re[i] == '\\':
			i += 2
		case strings.HasPrefix(re[i:], "[:") && strings.Contains(re[i:], ":]"):
			i += strings.Index(re[i:], ":]") + 2
		default:
			i++
		}
	}
	return len(re)
}

// The kinds of token that [scanTokens] tells apart.
type tokenKind int

const (
	literal tokenKind = iota
	dot               // any character
	atom              // a class or an escape that stands for several characters
	assert            // ^ $ \b and such
	bar               // |
	open
	closing
)

type token struct {
	kind       tokenKind
	start, end int    // in the source, quantifier included
	text       string // of a literal, or an atom as it is written
	quantifier string

	// Of an open: what follows the parenthesis ("", "?:", "?!", …), the index of
	// its closing token, and whether it has a bar of its own.
	flavour string
	partner int
	barred  bool
}

// scanTokens splits a regular expression whose groups are unnamed. ok is false
// for what is beyond it: inline flags, hexadecimal escapes, unbalanced groups.
func scanTokens(re string) (tokens []token, ok bool) {
	var opened []int
	for i := 0; i < len(re); {
		t := token{start: i}
		n := 1
		switch re[i] {
		case '(':
			t.kind = open
			if t.flavour, ok = groupFlavour(re[i+1:]); !ok {
				return nil, false
			}
			n += len(t.flavour)
			opened = append(opened, len(tokens))
		case ')':
			if len(opened) == 0 {
				return nil, false
			}
			t.kind, t.partner = closing, opened[len(opened)-1]
			tokens[t.partner].partner = len(tokens)
			opened = opened[:len(opened)-1]
		case '|':
			t.kind = bar
			if len(opened) == 0 {
				return nil, false
			}
			tokens[opened[len(opened)-1]].barred = true
		default:
			n = atomLen(re[i:])
			if t.kind, t.text, ok = classify(re[i : i+n]); !ok {
				return nil, false
			}
		}
		i += n
		if t.kind != open && t.kind != bar {
			t.quantifier = quantifierOf(re[i:])
			i += len(t.quantifier)
		}
		t.end = i
		tokens = append(tokens, t)
	}
	return tokens, len(opened) == 0
}

// transparent reports whether tokens[i] opens or closes a group that changes
// nothing for what is inside: no bar, no quantifier, no look-around.
func transparent(tokens []token, i int) bool {
	switch t := tokens[i]; t.kind {
	case open:
		return (t.flavour == "" || t.flavour == "?:") && !t.barred && tokens[t.partner].quantifier == ""
	case closing:
		return transparent(tokens, t.partner)
	default:
		return false
	}
}

func groupFlavour(after string) (flavour string, ok bool) {
	if !strings.HasPrefix(after, "?") {
		return "", !strings.HasPrefix(after, "*")
	}
	for _, flavour := range []string{"?:", "?!", "?=", "?<!", "?<=", "?>"} {
		if strings.HasPrefix(after, flavour) {
			return flavour, true
		}
	}
	return "", false
}

func classify(atomText string) (kind tokenKind, text string, ok bool) {
	switch c := atomText[0]; {
	case c == '.':
		return dot, "", true
	case c == '^' || c == '$':
		return assert, "", true
	case c == '[':
		return atom, atomText, true
	case c == '*' || c == '+' || c == '?':
		return 0, "", false
	case c != '\\':
		return literal, atomText, true
	case len(atomText) == 2 && strings.IndexByte("dDwWsS", atomText[1]) >= 0:
		return atom, atomText, true
	case len(atomText) == 2 && strings.IndexByte("bBAzZ", atomText[1]) >= 0:
		return assert, "", true
	case len(atomText) == 2 && !isAlnum(atomText[1]):
		return literal, atomText[1:], true
	default:
		return 0, "", false
	}
}

// quantifierOf returns the quantifier that re begins with, or "".
func quantifierOf(re string) string {
	n := 0
	switch {
	case re == "":
		return ""
	case re[0] == '*' || re[0] == '+' || re[0] == '?':
		n = 1
	case re[0] == '{':
		bounds, _, closed := strings.Cut(re[1:], "}")
		low, high, _ := strings.Cut(bounds, ",")
		if !closed || low == "" || strings.Trim(low+high, "0123456789") != "" {
			return ""
		}
		n = len(bounds) + 2
	default:
		return ""
	}
	if n < len(re) && (re[n] == '?' || re[n] == '+') {
		n++
	}
	return re[:n]
}
