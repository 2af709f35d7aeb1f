package jsregexp

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNesting bounds the nesting of groups in a source, and so the stack depth in
// parsing, compiling and matching it.
const maxNesting = 1001

// Parse parses source. With fold it ignores case, as with the flag i.
func Parse(source string, fold bool) (*Tree, error) {
	if !utf8.ValidString(source) {
		return nil, errors.New("the pattern is not UTF-8")
	}
	p := parser{source: source, fold: fold, names: []string{""}}
	p.count()
	root, _, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	if p.at < len(source) {
		return nil, p.fail("has no '(' before it")
	}
	for _, ref := range p.references {
		if ref.node.Groups = indexesOf(p.names, ref.name); len(ref.node.Groups) == 0 {
			return nil, fmt.Errorf(`\k<%s> refers to no group`, ref.name)
		}
	}
	return &Tree{Root: root, Names: p.names}, nil
}

type parser struct {
	source string
	at     int
	fold   bool
	dotAll bool
	depth  int
	names  []string // names of the groups so far

	captures   int  // number of groups in the whole source
	named      bool // a group has a name
	references []reference
}

// reference is a \k<name>, whose group may follow later.
type reference struct {
	node *Node
	name string
}

func indexesOf(names []string, name string) (found []int) {
	for i, n := range names {
		if i > 0 && n == name {
			found = append(found, i)
		}
	}
	return found
}

// count counts the groups of the source, which determine the meaning of \1 and \k.
func (p *parser) count() {
	class := false
	for i := 0; i < len(p.source); i++ {
		switch c := p.source[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			rest := p.source[i+1:]
			name := strings.HasPrefix(rest, "?P<") || strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!")
			p.named = p.named || name
			if name || !strings.HasPrefix(rest, "?") {
				p.captures++
			}
		}
	}
}

func (p *parser) rest() string { return p.source[p.at:] }

// take consumes text if it is next, and reports whether it was.
func (p *parser) take(text string) bool {
	if !strings.HasPrefix(p.rest(), text) {
		return false
	}
	p.at += len(text)
	return true
}

func (p *parser) next() rune {
	r, n := utf8.DecodeRuneInString(p.rest())
	p.at += n
	return r
}

func (p *parser) fail(format string, args ...any) error {
	near := p.rest()
	if r := []rune(near); len(r) > 20 {
		near = string(r[:20]) + "…"
	}
	return fmt.Errorf("%q "+format, append([]any{near}, args...)...)
}

// disjunction parses up to a ')' or the end. names are the names of its groups;
// several alternatives may use the same name.
func (p *parser) disjunction() (n *Node, names []string, err error) {
	if p.depth++; p.depth > maxNesting {
		return nil, nil, fmt.Errorf("groups are nested more than %d levels deep", maxNesting)
	}
	fold, dotAll := p.fold, p.dotAll
	defer func() { p.depth--; p.fold, p.dotAll = fold, dotAll }()
	var subs []*Node
	for {
		sub, more, err := p.alternative()
		if err != nil {
			return nil, nil, err
		}
		subs, names = append(subs, sub), append(names, more...)
		if !p.take("|") {
			break
		}
	}
	if len(subs) == 1 {
		return subs[0], names, nil
	}
	return (&Node{Kind: Alternate, Subs: subs}).derive(), names, nil
}

func (p *parser) alternative() (*Node, []string, error) {
	var subs []*Node
	var names []string
	for p.at < len(p.source) && p.source[p.at] != '|' && p.source[p.at] != ')' {
		sub, more, err := p.term()
		if err != nil {
			return nil, nil, err
		}
		for _, name := range more {
			if slices.Contains(names, name) {
				return nil, nil, fmt.Errorf("duplicate group name %s", name)
			}
		}
		names = append(names, more...)
		if sub.Kind != Concat || len(sub.Subs) > 0 {
			subs = append(subs, sub)
		}
	}
	switch len(subs) {
	case 0:
		return NewConcat(), names, nil
	case 1:
		return subs[0], names, nil
	}
	return NewConcat(subs...), names, nil
}

func (p *parser) term() (*Node, []string, error) {
	var n *Node
	var names []string
	var err error
	switch {
	case p.take("^"):
		return (&Node{Kind: Begin}).derive(), nil, nil
	case p.take("$"):
		return (&Node{Kind: End}).derive(), nil, nil
	case p.take(`\b`):
		return (&Node{Kind: Word}).derive(), nil, nil
	case p.take(`\B`):
		return (&Node{Kind: NotWord}).derive(), nil, nil
	case p.rest()[0] == '(':
		var fixed bool
		if n, names, fixed, err = p.group(); err != nil || fixed {
			return n, names, err
		}
	default:
		if n, err = p.atom(); err != nil {
			return nil, nil, err
		}
	}
	n, err = p.quantified(n)
	return n, names, err
}

// group parses a group. fixed means that no quantifier may follow.
func (p *parser) group() (n *Node, names []string, fixed bool, err error) {
	begun := p.at
	p.at++
	n = &Node{}
	wrap := true
	switch {
	case p.take("?:"):
		wrap = false
	case p.take("?="):
		n.Kind = Look
	case p.take("?!"):
		n.Kind, n.Not = Look, true
	case p.take("?<="):
		n.Kind, n.Behind, fixed = Look, true, true
	case p.take("?<!"):
		n.Kind, n.Behind, n.Not, fixed = Look, true, true, true
	case p.take("?>"):
		n.Kind = Atomic
	case p.take("?<"), p.take("?P<"):
		name, err := p.groupName()
		if err != nil {
			return nil, nil, false, err
		}
		names = []string{name}
		n.Kind, n.Group = Capture, len(p.names)
		p.names = append(p.names, name)
	case p.take("?"):
		fold, dotAll := p.fold, p.dotAll
		open, err := p.modifiers()
		if err != nil {
			return nil, nil, false, err
		}
		if !open {
			return NewConcat(), nil, true, nil
		}
		defer func() { p.fold, p.dotAll = fold, dotAll }()
		wrap = false
	default:
		n.Kind, n.Group = Capture, len(p.names)
		p.names = append(p.names, "")
	}
	sub, more, err := p.disjunction()
	if err != nil {
		return nil, nil, false, err
	}
	if !p.take(")") {
		p.at = begun
		return nil, nil, false, p.fail("has no ')' after it")
	}
	for _, name := range more {
		if slices.Contains(names, name) {
			return nil, nil, false, fmt.Errorf("duplicate group name %s", name)
		}
	}
	if names = append(names, more...); !wrap {
		return sub, names, fixed, nil
	}
	n.Subs = []*Node{sub}
	return n.derive(), names, fixed, nil
}

// modifiers parses the modifiers after "(?" up to ':' or ')': i and s, which '-'
// turns off. open means that ':' ended them; otherwise they apply up to the end of
// the enclosing group.
func (p *parser) modifiers() (open bool, err error) {
	on := true
	for {
		switch {
		case p.take("i"):
			p.fold = on
		case p.take("s"):
			p.dotAll = on
		case on && p.take("-"):
			on = false
		case p.take(":"):
			return true, nil
		case p.take(")"):
			return false, nil
		default:
			p.at -= 2
			return false, p.fail("is not a supported group")
		}
	}
}

// groupName parses a name and the '>' after it.
func (p *parser) groupName() (string, error) {
	name, _, closed := strings.Cut(p.rest(), ">")
	if !closed || !isName(name) {
		return "", p.fail("is not a valid group name")
	}
	p.at += len(name) + 1
	return name, nil
}

func isName(name string) bool {
	for i, r := range name {
		first := r == '$' || r == '_' || unicode.IsLetter(r)
		if !first && (i == 0 || !unicode.IsDigit(r) && !unicode.IsMark(r)) {
			return false
		}
	}
	return name != ""
}

// quantified parses the quantifier of n, if there is one.
func (p *parser) quantified(n *Node) (*Node, error) {
	least, most, ok, err := p.quantifier()
	if err != nil || !ok {
		return n, err
	}
	repeat := &Node{Kind: Repeat, Min: least, Max: most, Subs: []*Node{n}}
	switch {
	case p.take("?"):
		repeat.Lazy = true
	case p.take("+"):
		return (&Node{Kind: Atomic, Subs: []*Node{repeat.derive()}}).derive(), nil
	}
	return repeat.derive(), nil
}

func (p *parser) quantifier() (least, most int, ok bool, err error) {
	switch {
	case p.take("*"):
		return 0, -1, true, nil
	case p.take("+"):
		return 1, -1, true, nil
	case p.take("?"):
		return 0, 1, true, nil
	}
	bounds, n := braces(p.rest())
	if n == 0 {
		return 0, 0, false, nil
	}
	low, high, comma := strings.Cut(bounds, ",")
	least = atoi(low)
	switch {
	case !comma:
		most = least
	case high == "":
		most = -1
	default:
		if most = atoi(high); most < least {
			return 0, 0, false, p.fail("has bounds out of order")
		}
	}
	p.at += n
	return least, most, true, nil
}

// braces returns the text between the braces of a quantifier at the start of text,
// and the length of the quantifier; 0 if there is none.
func braces(text string) (bounds string, n int) {
	if !strings.HasPrefix(text, "{") {
		return "", 0
	}
	bounds, _, closed := strings.Cut(text[1:], "}")
	low, high, _ := strings.Cut(bounds, ",")
	if !closed || low == "" || strings.Trim(low+high, "0123456789") != "" {
		return "", 0
	}
	return bounds, len(bounds) + 2
}

// atoi is the number of digits, at most the largest int32.
func atoi(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil || n > math.MaxInt32 {
		return math.MaxInt32
	}
	return n
}

// atom parses one character, a class or a back reference.
func (p *parser) atom() (*Node, error) {
	switch c := p.rest()[0]; c {
	case '.':
		p.at++
		if p.dotAll {
			return &Node{Kind: Class, Set: Set{0, unicode.MaxRune}}, nil
		}
		return &Node{Kind: Dot, Set: notLineEnds}, nil
	case '[':
		return p.class()
	case '\\':
		return p.escape()
	case '*', '+', '?', '{':
		if _, n := braces(p.rest()); c != '{' || n > 0 {
			return nil, p.fail("has nothing before it to repeat")
		}
	}
	return p.char(p.next()), nil
}

func (p *parser) char(r rune) *Node {
	if p.fold {
		return &Node{Kind: Char, Rune: r, Fold: true, Set: foldedRune(r)}
	}
	return &Node{Kind: Char, Rune: r, Set: single(r)}
}

func (p *parser) escape() (*Node, error) {
	rest := p.rest()
	switch {
	case len(rest) == 1:
		return nil, p.fail("is an incomplete escape")
	case rest[1] == 'k' && p.named:
		p.at += 2
		if !p.take("<") {
			return nil, p.fail(`must be a group name in angle brackets after \k`)
		}
		name, err := p.groupName()
		if err != nil {
			return nil, err
		}
		n := (&Node{Kind: Backref, Fold: p.fold}).derive()
		p.references = append(p.references, reference{n, name})
		return n, nil
	case '1' <= rest[1] && rest[1] <= '9':
		digits := rest[1:]
		if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = digits[:i]
		}
		if number := atoi(digits); number <= p.captures {
			p.at += 1 + len(digits)
			return (&Node{Kind: Backref, Fold: p.fold, Groups: []int{number}}).derive(), nil
		}
	}
	if set := classEscape(rest[1]); set != nil {
		p.at += 2
		return &Node{Kind: Class, Set: set}, nil
	}
	return p.char(p.characterEscape(false)), nil
}

// classEscape returns the characters of \c, or nil if it is not a class.
func classEscape(c byte) Set {
	switch c {
	case 'd':
		return digits
	case 'D':
		return digits.complement()
	case 'w':
		return wordChars
	case 'W':
		return wordChars.complement()
	case 's':
		return spaces
	case 'S':
		return spaces.complement()
	}
	return nil
}

// characterEscape parses an escape of one character.
func (p *parser) characterEscape(inClass bool) rune {
	p.at++
	switch r := p.next(); r {
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	case 'b':
		return '\b' // in a class
	case 'x':
		return p.hex('x', 2)
	case 'u':
		return p.utf16()
	case 'c':
		if p.at < len(p.source) {
			if c := p.source[p.at]; isLetter(c) || inClass && (c == '_' || '0' <= c && c <= '9') {
				p.at++
				return rune(c % 32)
			}
		}
		p.at--
		return '\\'
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return p.octal(r - '0')
	default:
		return r
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// octal parses up to two more digits of a legacy octal escape, at most \377.
func (p *parser) octal(value rune) rune {
	for range 2 {
		if p.at == len(p.source) || p.source[p.at] < '0' || p.source[p.at] > '7' || value >= 0o40 {
			break
		}
		value = value*8 + rune(p.source[p.at]-'0')
		p.at++
	}
	return value
}

// hex parses n hexadecimal digits; without them the escape is its letter.
func (p *parser) hex(letter rune, n int) rune {
	if len(p.rest()) < n {
		return letter
	}
	value, err := strconv.ParseUint(p.rest()[:n], 16, 32)
	if err != nil {
		return letter
	}
	p.at += n
	return rune(value)
}

// utf16 parses the digits after \u: a code unit, or a surrogate pair.
func (p *parser) utf16() rune {
	high := p.hex('u', 4)
	if high < 0xd800 || high > 0xdbff || !strings.HasPrefix(p.rest(), `\u`) {
		return high
	}
	begun := p.at
	p.at += 2
	if low := p.hex('u', 4); 0xdc00 <= low && low <= 0xdfff {
		return (high-0xd800)<<10 + (low - 0xdc00) + 0x10000
	}
	p.at = begun
	return high
}

// class parses a class in brackets.
func (p *parser) class() (*Node, error) {
	begun := p.at
	p.at++
	not := p.take("^")
	var ranges []rune
	for !p.take("]") {
		low, single, err := p.classAtom(begun)
		if err != nil {
			return nil, err
		}
		rest := p.rest()
		if !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") {
			ranges = append(ranges, low...)
			continue
		}
		p.at++
		high, alsoSingle, err := p.classAtom(begun)
		switch {
		case err != nil:
			return nil, err
		case !single || !alsoSingle: // the dash is one of the characters
			ranges = append(append(append(ranges, low...), '-', '-'), high...)
		case low[0] > high[0]:
			p.at = begun
			return nil, p.fail("has a range out of order")
		default:
			ranges = append(ranges, low[0], high[0])
		}
	}
	set := newSet(ranges)
	if p.fold {
		set = set.folded()
	}
	if not {
		set = set.complement()
	}
	return &Node{Kind: Class, Set: set, Fold: p.fold}, nil
}

// classAtom parses one character of a class, or an escape for several.
func (p *parser) classAtom(begun int) (set Set, single bool, err error) {
	switch rest := p.rest(); {
	case rest == "" || rest == `\`:
		p.at = begun
		return nil, false, p.fail("has no ']' after it")
	case rest[0] != '\\':
		r := p.next()
		return Set{r, r}, true, nil
	case rest[1] == 'k' && p.named:
		return nil, false, p.fail("is not a valid escape in a pattern with named groups")
	default:
		if set := classEscape(rest[1]); set != nil {
			p.at += 2
			return set, false, nil
		}
		r := p.characterEscape(true)
		return Set{r, r}, true, nil
	}
}
