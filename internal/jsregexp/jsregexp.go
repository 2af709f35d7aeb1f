// Package jsregexp matches regular expressions of ECMAScript (ECMA-262, 22.2 and
// Annex B.1.2) without the flag u. Frameworks write the sources of routes in this
// dialect.
//
// [Parse] parses a source into a [Tree]. [Tree.Compile] compiles a program for a
// backtracking machine, with a limit of steps from its caller. [Tree.GoSyntax]
// writes an equal source for Go's regexp, which takes linear time, if one exists.
//
// There are two differences. Texts are UTF-8 and a character is a code point, as
// with the flag u. Syntax that ECMAScript rejects but PCRE accepts has PCRE's
// meaning: (?P<name>…), (?>…), possessive quantifiers, and (?i) up to the end of its
// group.
package jsregexp

import "slices"

// Kind is the kind of a node.
type Kind uint8

// The kinds of node.
const (
	Char      Kind = iota // one character, Rune; with Fold also its other cases: Set
	Class                 // one character of Set
	Dot                   // one character except line terminators: Set
	Begin                 // the start of the text
	End                   // the end of the text
	Word                  // \b
	NotWord               // \B
	Concat                // Subs one after the other; an empty one always matches
	Alternate             // one of Subs, the first that leads to a match
	Repeat                // Subs[0], Min to Max times
	Capture               // Subs[0], as the group Group
	Backref               // the text that one of Groups matched
	Look                  // look-around: Subs[0] matches here; with Behind, up to here; with Not, it does not
	Atomic                // Subs[0], in the first way in which it matches
)

// Node is a part of a regular expression. It is immutable after parsing.
type Node struct {
	properties

	Kind   Kind
	Rune   rune
	Fold   bool // case is ignored, in Char, Class and Backref
	Set    Set
	Subs   []*Node
	Min    int
	Max    int // -1 is unbounded
	Lazy   bool
	Group  int
	Groups []int
	Behind bool
	Not    bool
}

// properties are facts about a node that [Node.derive] computes from its subs.
type properties struct {
	nullable    bool // it may match the empty text
	first, last int  // first and last group in it, numbered without gaps; 0 is none
	unset       bool // it can match with one of these groups unset
}

// Tree is a parsed regular expression.
type Tree struct {
	Root  *Node
	Names []string // names of the groups by number, "" for none; [0] is the whole match
}

// NewConcat returns a node that matches subs one after the other.
func NewConcat(subs ...*Node) *Node {
	return (&Node{Kind: Concat, Subs: subs}).derive()
}

// derive sets the properties of n from its subs, which are settled.
func (n *Node) derive() *Node {
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
