package jsregexp

import "fmt"

// maxInstructions bounds a program. A repetition is compiled once for each round:
// the program of x{2,3} has three copies of x, the last of which is optional.
const maxInstructions = 10_000

// instructionBytes is the approximate memory of an instruction.
const instructionBytes = 96

// Regexp is a compiled regular expression. It is immutable and safe for concurrent
// use.
type Regexp struct {
	program []instruction
	groups  int // includes the whole match
	slots   int // two for each group, one for each loop
	bytes   int64
}

type operation uint8

const (
	opMatch   operation = iota
	opChar              // r
	opSet               // one of set
	opLoop              // least to most characters of set
	opSplit             // continue at x, or at y if x does not lead to a match
	opJump              // to x
	opSave              // store the position in slot x
	opUnset             // clear groups x to y
	opCheck             // the position differs from slot x
	opBegin             //
	opEnd               //
	opWord              // not: \B
	opBackref           // the text of one of groups
	opLook              // the following program matches; continue at x
	opAtomic            // the same, but continue at the end of its match
)

type instruction struct {
	op     operation
	back   bool // leftwards, as in a look-behind
	not    bool
	lazy   bool
	fold   bool
	r      rune
	x, y   int32 // of opLoop: least and most, -1 is unbounded
	set    Set
	ascii  [2]uint64 // the part of set below 0x80
	groups []int
}

// Compile compiles t. The error means that the program is too long.
func (t *Tree) Compile() (*Regexp, error) {
	c := compiler{slots: 2 * len(t.Names)}
	c.node(t.Root, false)
	c.emit(instruction{op: opMatch})
	if c.tooLong {
		return nil, fmt.Errorf("the pattern needs more than %d instructions", maxInstructions)
	}
	re := &Regexp{program: c.program, groups: len(t.Names), slots: c.slots}
	for i := range re.program {
		re.bytes += instructionBytes + 4*int64(len(re.program[i].set))
	}
	return re, nil
}

// Bytes is the approximate memory of re.
func (re *Regexp) Bytes() int64 { return re.bytes }

type compiler struct {
	program []instruction
	slots   int
	tooLong bool
}

func (c *compiler) emit(i instruction) (at int) {
	if c.tooLong = c.tooLong || len(c.program) >= maxInstructions; c.tooLong {
		return 0
	}
	c.program = append(c.program, i)
	return len(c.program) - 1
}

func (c *compiler) here() int32 { return int32(len(c.program)) }

// node writes the program of n, leftwards if back.
func (c *compiler) node(n *Node, back bool) {
	switch n.Kind {
	case Char, Class, Dot:
		c.emit(one(n, back))
	case Begin:
		c.emit(instruction{op: opBegin})
	case End:
		c.emit(instruction{op: opEnd})
	case Word, NotWord:
		c.emit(instruction{op: opWord, not: n.Kind == NotWord})
	case Concat:
		for i := range n.Subs {
			if back {
				i = len(n.Subs) - 1 - i
			}
			c.node(n.Subs[i], back)
		}
	case Alternate:
		c.alternate(n, back)
	case Repeat:
		c.repeat(n, back)
	case Capture:
		first, last := int32(2*n.Group), int32(2*n.Group+1)
		if back {
			first, last = last, first
		}
		c.emit(instruction{op: opSave, x: first})
		c.node(n.Subs[0], back)
		c.emit(instruction{op: opSave, x: last})
	case Backref:
		c.emit(instruction{op: opBackref, back: back, fold: n.Fold, groups: n.Groups})
	case Look:
		c.subprogram(n, instruction{op: opLook, not: n.Not}, n.Behind)
	case Atomic:
		c.subprogram(n, instruction{op: opAtomic}, back)
	}
}

// one is the instruction for a node of one character.
func one(n *Node, back bool) instruction {
	if len(n.Set) == 2 && n.Set[0] == n.Set[1] {
		return instruction{op: opChar, back: back, r: n.Set[0], set: n.Set, ascii: n.Set.ascii()}
	}
	return instruction{op: opSet, back: back, set: n.Set, ascii: n.Set.ascii()}
}

// subprogram writes the program of n's sub as one with an opMatch of its own.
func (c *compiler) subprogram(n *Node, i instruction, back bool) {
	at := c.emit(i)
	c.node(n.Subs[0], back)
	c.emit(instruction{op: opMatch})
	c.patch(at)
}

// patch sets the target of the instruction at to the next instruction.
func (c *compiler) patch(at int) {
	if c.tooLong {
		return
	}
	if i := &c.program[at]; i.op == opSplit && i.x >= 0 {
		i.y = c.here()
	} else {
		i.x = c.here()
	}
}

func (c *compiler) alternate(n *Node, back bool) {
	var ends []int
	for i, sub := range n.Subs {
		last := i == len(n.Subs)-1
		split := 0
		if !last {
			split = c.emit(instruction{op: opSplit, x: c.here() + 1})
		}
		if c.node(sub, back); !last {
			ends = append(ends, c.emit(instruction{op: opJump}))
			c.patch(split)
		}
		if c.tooLong {
			return
		}
	}
	for _, end := range ends {
		c.patch(end)
	}
}

// repeat implements RepeatMatcher of ECMA-262, 22.2.2.3.1: each round begins with
// its groups unset, and a round beyond the minimum fails on an empty match.
func (c *compiler) repeat(n *Node, back bool) {
	sub := n.Subs[0]
	if sub.Kind == Char || sub.Kind == Class || sub.Kind == Dot {
		i := one(sub, back)
		i.op, i.x, i.y, i.lazy = opLoop, int32(n.Min), int32(n.Max), n.Lazy
		c.emit(i)
		return
	}
	for range n.Min {
		before := len(c.program)
		if c.round(sub, back); c.tooLong {
			return
		}
		if len(c.program) == before {
			break // further rounds are empty too
		}
	}
	if n.Max < 0 {
		again := c.here()
		split := c.split(n.Lazy)
		c.checked(sub, back)
		c.emit(instruction{op: opJump, x: again})
		c.patch(split)
		return
	}
	var splits []int
	for range n.Max - n.Min {
		splits = append(splits, c.split(n.Lazy))
		if c.checked(sub, back); c.tooLong {
			return
		}
	}
	for _, split := range splits {
		c.patch(split)
	}
}

// split tries the next instruction first, or last if lazy. Its other branch is set
// by patch.
func (c *compiler) split(lazy bool) (at int) {
	i := instruction{op: opSplit, x: c.here() + 1}
	if lazy {
		i.x, i.y = -1, i.x
	}
	return c.emit(i)
}

func (c *compiler) round(sub *Node, back bool) {
	if sub.first > 0 {
		c.emit(instruction{op: opUnset, x: int32(sub.first), y: int32(sub.last)})
	}
	c.node(sub, back)
}

// checked writes a round that fails on an empty match.
func (c *compiler) checked(sub *Node, back bool) {
	if !sub.nullable {
		c.round(sub, back)
		return
	}
	slot := int32(c.slots)
	c.slots++
	c.emit(instruction{op: opSave, x: slot})
	c.round(sub, back)
	c.emit(instruction{op: opCheck, x: slot})
}

// ascii is the part of s below 0x80, one bit per character.
func (s Set) ascii() (bits [2]uint64) {
	for i := 0; i < len(s) && s[i] < 0x80; i += 2 {
		for r := s[i]; r <= min(s[i+1], 0x7f); r++ {
			bits[r/64] |= 1 << (r % 64)
		}
	}
	return bits
}
