package jsregexp

import (
	"errors"
	"slices"
	"sync"
	"unicode/utf8"
)

// The bounds of the stack of alternatives that a match has still to try, 16 bytes
// each. A bounded number of matches may have more than smallStack at a time; further
// ones wait for one of them to end.
const (
	maxStack    = 1 << 19
	smallStack  = 1 << 12
	largeStacks = 8
)

// large holds the stacks of matches that need a large one.
//
//nolint:gochecknoglobals // a bound of the process, like its memory
var large = func() chan []entry {
	stacks := make(chan []entry, largeStacks)
	for range largeStacks {
		stacks <- nil
	}
	return stacks
}()

// ErrTooLong means that a match needs more steps, or more memory, than its limit.
var ErrTooLong = errors.New("the pattern takes too many steps on this text")

// Match reports whether re matches text, at any position unless the source begins
// with ^. It takes one step of *steps for each instruction, for each character of a
// loop, for each group that begins unset, and for every two loops at each start
// position. It fails with [ErrTooLong] when no step is left. If into is not nil,
// Match sets it to the texts of the groups, "" for unset ones, and reuses its memory
// if that is large enough.
func (re *Regexp) Match(text string, steps *int, into *[]string) (bool, error) {
	m, _ := machines.Get().(*machine)
	defer machines.Put(m)
	defer m.shrink()
	m.re, m.text, m.steps, m.stack = re, text, *steps, m.stack[:0]
	m.slots = slices.Grow(m.slots[:0], re.slots)[:re.slots]
	defer func() { *steps, m.re, m.text = m.steps, nil, "" }()
	for start := 0; start <= len(text); start++ {
		for i := range m.slots {
			m.slots[i] = -1
		}
		m.steps -= re.slots/2 - 1
		end, ok := m.run(0, start)
		if m.steps < 0 {
			return false, ErrTooLong
		}
		if ok {
			m.slots[0], m.slots[1] = int32(start), int32(end)
			m.store(into)
			return true, nil
		}
		if re.program[0].op == opBegin {
			break
		}
		for start+1 < len(text) && !utf8.RuneStart(text[start+1]) {
			start++
		}
	}
	return false, nil
}

func (m *machine) store(into *[]string) {
	if into == nil {
		return
	}
	*into = (*into)[:0]
	for i := range m.re.groups {
		*into = append(*into, m.group(i))
	}
}

var machines = sync.Pool{New: func() any { return new(machine) }} //nolint:gochecknoglobals // a cache

// machine runs a program. When an alternative fails, it continues with the last
// entry of the stack.
type machine struct {
	re    *Regexp
	text  string
	steps int // steps left; below zero the match has failed
	slots []int32
	stack []entry
	small []entry // the machine's own stack, while stack is one of large
}

// entry is an alternative to try, or a change to undo, after a failure.
type entry struct {
	kind entryKind
	pc   int32 // instruction to continue at; for undo the slot
	at   int32 // the position; for undo the value
	end  int32 // for loops: the position down to which the loop may give back, or the rounds that it may still take
}

type entryKind uint8

const (
	try      entryKind = iota
	undo               // restore the earlier value of a slot
	giveBack           // a loop takes one character less
	takeMore           // a lazy loop takes one character more
)

func (m *machine) push(e entry) {
	switch {
	case len(m.stack) == smallStack && m.small == nil:
		m.small = m.stack
		m.stack = append((<-large)[:0], m.small...)
	case len(m.stack) >= maxStack:
		m.steps = -1
		return
	}
	m.stack = append(m.stack, e)
}

// shrink returns a large stack.
func (m *machine) shrink() {
	if m.small != nil {
		large <- m.stack[:0]
		m.stack, m.small = m.small, nil
	}
}

func (m *machine) set(slot int32, value int) {
	m.push(entry{kind: undo, pc: slot, at: m.slots[slot]})
	m.slots[slot] = int32(value)
}

// group returns the text of a group; "" if it is unset.
func (m *machine) group(i int) string {
	from, to := m.slots[2*i], m.slots[2*i+1]
	if from < 0 || to < 0 {
		return ""
	}
	return m.text[from:to]
}

// run runs the program from pc at a position of the text up to its opMatch. After a
// success, the entries that it leaves on the stack undo its changes; after a
// failure, it leaves none.
func (m *machine) run(pc int32, at int) (end int, ok bool) {
	base := len(m.stack)
	for {
		if m.steps--; m.steps < 0 {
			return 0, false
		}
		i := &m.re.program[pc]
		ok = true
		switch pc++; i.op {
		case opMatch:
			m.keepUndo(base)
			return at, true
		case opChar, opSet:
			at, ok = m.one(i, at)
		case opLoop:
			at, ok = m.loop(i, pc, at)
		case opSplit:
			m.push(entry{pc: i.y, at: int32(at)})
			pc = i.x
		case opJump:
			pc = i.x
		case opSave:
			m.set(i.x, at)
		case opUnset:
			m.steps -= int(i.y - i.x)
			for slot := 2 * i.x; slot <= 2*i.y+1; slot++ {
				if m.slots[slot] >= 0 {
					m.set(slot, -1)
				}
			}
		case opCheck:
			ok = m.slots[i.x] != int32(at)
		case opBegin:
			ok = at == 0
		case opEnd:
			ok = at == len(m.text)
		case opWord:
			ok = (m.isWord(at-1) != m.isWord(at)) != i.not
		case opBackref:
			at, ok = m.backReference(i, at)
		case opLook, opAtomic:
			at, ok = m.subprogram(i, pc, at)
			pc = i.x
		}
		if !ok {
			if pc, at, ok = m.back(base); !ok {
				return 0, false
			}
		}
	}
}

// back continues with the last alternative above base.
func (m *machine) back(base int) (pc int32, at int, ok bool) {
	for len(m.stack) > base {
		e := &m.stack[len(m.stack)-1]
		switch e.kind {
		case undo:
			m.slots[e.pc] = e.at
		case try:
			pc, at = e.pc, int(e.at)
			m.stack = m.stack[:len(m.stack)-1]
			return pc, at, true
		case giveBack:
			if e.at != e.end {
				e.at = int32(m.step(int(e.at), e.at > e.end))
				return e.pc, int(e.at), true
			}
		case takeMore:
			i := &m.re.program[e.pc-1]
			if next, ok := m.one(i, int(e.at)); ok && e.end != 0 {
				m.steps--
				e.at = int32(next)
				e.end--
				return e.pc, next, true
			}
		}
		m.stack = m.stack[:len(m.stack)-1]
	}
	return 0, 0, false
}

// keepUndo removes the alternatives above base from the stack, but not the changes
// to undo.
func (m *machine) keepUndo(base int) {
	kept := m.stack[:base]
	for _, e := range m.stack[base:] {
		if e.kind == undo {
			kept = append(kept, e)
		}
	}
	m.stack = kept
}

// subprogram runs the program at pc separately.
func (m *machine) subprogram(i *instruction, pc int32, at int) (int, bool) {
	base := len(m.stack)
	end, ok := m.run(pc, at)
	switch {
	case i.op == opAtomic:
		return end, ok
	case i.not && ok:
		m.back(base) // undoes the changes
		return at, false
	}
	return at, ok != i.not
}

// step returns the position one character to the left or to the right of at.
func (m *machine) step(at int, left bool) int {
	if left {
		_, n := utf8.DecodeLastRuneInString(m.text[:at])
		return at - n
	}
	_, n := utf8.DecodeRuneInString(m.text[at:])
	return at + n
}

// one matches a character.
func (m *machine) one(i *instruction, at int) (int, bool) {
	var r rune
	var n int
	if i.back {
		if at == 0 {
			return at, false
		}
		r, n = utf8.DecodeLastRuneInString(m.text[:at])
		n = -n
	} else {
		if at == len(m.text) {
			return at, false
		}
		if c := m.text[at]; c < utf8.RuneSelf {
			return at + 1, i.ascii[c/64]>>(c%64)&1 == 1
		}
		r, n = utf8.DecodeRuneInString(m.text[at:])
	}
	if i.op == opChar {
		return at + n, r == i.r
	}
	return at + n, i.set.has(r)
}

// loop matches i.x to i.y characters: as many as possible, or as few as possible if
// lazy.
func (m *machine) loop(i *instruction, pc int32, at int) (int, bool) {
	least, most := int(i.x), int(i.y)
	if most < 0 {
		most = len(m.text)
	}
	wanted := most
	if i.lazy {
		wanted = least
	}
	fewest := at
	count := 0
	for ; count < wanted; count++ {
		next, ok := m.one(i, at)
		if !ok {
			break
		}
		if at = next; count+1 == least {
			fewest = at
		}
	}
	m.steps -= count
	switch {
	case count < least:
		return at, false
	case i.lazy && least < most:
		m.push(entry{kind: takeMore, pc: pc, at: int32(at), end: int32(most - least)})
	case at != fewest:
		m.push(entry{kind: giveBack, pc: pc, at: int32(at), end: int32(fewest)})
	}
	return at, true
}

// backReference matches the text of a group again.
func (m *machine) backReference(i *instruction, at int) (int, bool) {
	text := ""
	for _, group := range i.groups {
		text += m.group(group)
	}
	m.steps -= len(i.groups) - 1 + len(text)
	for len(text) > 0 {
		want, n := utf8.DecodeRuneInString(text)
		if i.back {
			want, n = utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-n]
		} else {
			text = text[n:]
		}
		if i.back && at == 0 || !i.back && at == len(m.text) {
			return at, false
		}
		next := m.step(at, i.back)
		got, _ := utf8.DecodeRuneInString(m.text[min(at, next):])
		if got != want && (!i.fold || canonical(got) != canonical(want)) {
			return at, false
		}
		at = next
	}
	return at, true
}

// isWord reports whether the byte at is one of \w.
func (m *machine) isWord(at int) bool {
	return at >= 0 && at < len(m.text) && m.text[at] < 0x80 && wordChars.has(rune(m.text[at]))
}
