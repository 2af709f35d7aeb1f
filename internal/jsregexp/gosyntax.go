package jsregexp

import (
	"regexp"
	"strconv"
	"strings"
)

// GoSyntax returns a source with which Go's regexp matches the same texts with the
// same groups, numbered and unnamed. ok is false if none exists: for look-around,
// back references and atomic groups, and for repetitions that differ in ECMAScript,
// where groups begin each round unset and a round with an empty match fails.
func (t *Tree) GoSyntax() (source string, ok bool) {
	var b strings.Builder
	ok = writeGo(&b, t.Root)
	return b.String(), ok
}

func writeGo(b *strings.Builder, n *Node) bool {
	switch n.Kind {
	case Char:
		if len(n.Set) > 2 || n.Set[0] != n.Set[1] {
			writeGoSet(b, n.Set)
		} else {
			b.WriteString(regexp.QuoteMeta(string(n.Rune)))
		}
		return n.Rune < 0xd800 || n.Rune > 0xdfff
	case Class, Dot:
		writeGoSet(b, n.Set)
	case Begin:
		b.WriteString("^")
	case End:
		b.WriteString("$")
	case Word:
		b.WriteString(`\b`)
	case NotWord:
		b.WriteString(`\B`)
	case Concat:
		if len(n.Subs) == 0 {
			b.WriteString("(?:)")
		}
		for i := 0; i < len(n.Subs); i++ {
			if run := foldedRun(n.Subs[i:]); run > 0 {
				writeGoFolded(b, n.Subs[i:i+run])
				i += run - 1
			} else if !writeGo(b, n.Subs[i]) {
				return false
			}
		}
	case Alternate:
		b.WriteString("(?:")
		for i, sub := range n.Subs {
			if i > 0 {
				b.WriteByte('|')
			}
			if !writeGo(b, sub) {
				return false
			}
		}
		b.WriteByte(')')
	case Capture:
		b.WriteByte('(')
		if !writeGo(b, n.Subs[0]) {
			return false
		}
		b.WriteByte(')')
	case Repeat:
		return writeGoRepeat(b, n)
	case Backref, Look, Atomic:
		return false
	}
	return true
}

// foldedRun is the number of nodes, from the first, that are characters for which Go's
// (?i) means the same: ASCII without k and s, which Go also compares with K (U+212A) and ſ.
func foldedRun(nodes []*Node) (n int) {
	for n < len(nodes) && nodes[n].Kind == Char && nodes[n].Fold && nodes[n].Rune < 0x80 && !strings.ContainsRune("kKsS", nodes[n].Rune) {
		n++
	}
	return n
}

func writeGoFolded(b *strings.Builder, nodes []*Node) {
	b.WriteString("(?i:")
	for _, n := range nodes {
		b.WriteString(regexp.QuoteMeta(string(n.Rune)))
	}
	b.WriteByte(')')
}

func writeGoRepeat(b *strings.Builder, n *Node) bool {
	sub := n.Subs[0]
	if sub.nullable || n.Max != 0 && n.Max != 1 && sub.unset {
		return false
	}
	b.WriteString("(?:")
	if !writeGo(b, sub) {
		return false
	}
	b.WriteString("){" + strconv.Itoa(n.Min) + ",")
	if n.Max >= 0 {
		b.WriteString(strconv.Itoa(n.Max))
	}
	b.WriteByte('}')
	if n.Lazy {
		b.WriteByte('?')
	}
	return true
}

func writeGoSet(b *strings.Builder, s Set) {
	if len(s) == 0 {
		b.WriteString(`[^\x{0}-\x{10FFFF}]`)
		return
	}
	b.WriteByte('[')
	for i := 0; i < len(s); i += 2 {
		writeGoRune(b, s[i])
		if s[i+1] != s[i] {
			b.WriteByte('-')
			writeGoRune(b, s[i+1])
		}
	}
	b.WriteByte(']')
}

func writeGoRune(b *strings.Builder, r rune) {
	b.WriteString(`\x{` + strconv.FormatInt(int64(r), 16) + `}`)
}
