// Package jsregexp matches regular expressions as ECMAScript defines them
// (ECMA-262, 22.2 and Annex B.1.2), without the flag u: the meaning that the
// sources of routes have where frameworks write them.
//
// [Parse] makes a [Tree] of a source. [Tree.Compile] makes a program for a
// backtracking machine, which runs for as many steps as its caller allows.
// [Tree.GoSyntax] writes an equal source for Go's regexp, which takes linear time,
// where there is one.
//
// Two things differ. Texts are UTF-8 and a character is a code point, as with the
// flag u. And what ECMAScript refuses but PCRE has is accepted with PCRE's meaning:
// (?P<name>…), (?>…), possessive quantifiers, and (?i) up to the end of its group.
package jsregexp

import "slices"

// Kind says what a node matches.
type Kind uint8

// The kinds of node.
const (
	Char      Kind = iota // one character, Rune; with Fold its other cases, too: Set
	Class                 // one character of Set
	Dot                   // one character that ends no line: Set
	Begin                 // the begin of the text
	End                   // the end of the text
	Word                  // \b
	NotWord               // \B
	Concat                // Subs one after the other; without these it always matches
	Alternate             // one of Subs, the first that leads to a match
	Repeat                // Subs[0], Min to Max times
	Capture               // Subs[0], as the group Group
	Backref               // what one of Groups matched
	Look                  // a condition: Subs[0] matches here; with Behind, up to here; with Not, it does not
	Atomic                // Subs[0], in the first way that it matches
)

// Node is a part of a regular expression. A node is not changed once it is parsed.
type Node struct {
	facts

	Kind   Kind
	Rune   rune
	Fold   bool // case is ignored: of Char, Class and Backref
	Set    Set
	Subs   []*Node
	Min    int
	Max    int // -1: without bound
	Lazy   bool
	Group  int
	Groups []int
	Behind bool
	Not    bool
}

// facts are known of a node from its subs, once [Node.settle] has been called.
type facts struct {
	nullable    bool // it may match the empty text
	first, last int  // groups in it, whose numbers have no gap; 0 is none
	unset       bool // it can match without one of them
}

// Tree is a parsed regular expression.
type Tree struct {
	Root  *Node
	Names []string // of each group by number, "" for none; [0] is the whole match
}

// NewConcat returns what matches subs one after the other.
func NewConcat(subs ...*Node) *Node {
	return (&Node{Kind: Concat, Subs: subs}).settle()
}

// settle notes the facts of n. Its subs are settled.
func (n *Node) settle() *Node {
	switch n.Kind {
	case Char, Class, Dot:
	case Concat:
		n.nullable = !slices.ContainsFunc(n.Subs, func(sub *Node) bool { return !sub.nullable })
	case Alternate:
		n.nullable = slices.ContainsFunc(n.Subs, func(sub *Node) bool { return sub.nullable })
	case Repeat:
		n.nullable = n.Min == 0 || n.Subs[0].nullable
	case Capture, Atomic:
		n.nullable = n.Subs[0].nullable
	case Begin, End, Word, NotWord, Backref, Look:
		n.nullable = true
	}
	if n.Kind == Capture {
		n.first, n.last = n.Group, n.Group
	}
	for _, sub := range n.Subs {
		if n.first == 0 {
			n.first = sub.first
		}
		n.last = max(n.last, sub.last)
		n.unset = n.unset || sub.unset
	}
	n.unset = n.unset || n.first > 0 && (n.Kind == Alternate || n.Kind == Repeat && n.Min == 0)
	return n
}
