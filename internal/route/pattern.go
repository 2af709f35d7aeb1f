package route

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lateen-dev/lateen/internal/cputime"
	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// The bounds that keep one table from using up the time of all others.
const (
	matchBudget = 100 * time.Millisecond // of a processor, for all costly runs for one request
	matchSteps  = 4_000_000              // of the backtracking engine, for one request; tens of milliseconds
	costly      = 1 << 17                // instructions times bytes from where on a run of Go's engine counts
	cheap       = 1 << 22                // of runs below that, for one request, that do not count; milliseconds
	matchText   = 1 << 25                // bytes of text and values that are looked through without an engine, for one request; tens of milliseconds
	maxProgram  = 10_000                 // instructions of a pattern
)

// pattern is a compiled regular expression, anchored at both ends. Its flavour
// is ECMAScript's, see [jsregexp].
//
// Three engines give the same answer, the first that can takes the pattern:
// comparing strings, Go's regexp (in linear time), and backtracking with a bound
// of steps for what that cannot do (look-around, back references).
type pattern struct {
	names []string // of each group by number, "" for none; names[0] is the whole match
	fold  bool     // case is ignored

	// What every match has, to skip an engine; with fold this is ASCII, of which no
	// other character is another case. infix comes after prefix.
	prefix, suffix, infix string
	linear                linear // the whole pattern, or nil
	// ahead are look-aheads at a fixed place in prefix, taken out of the rest.
	ahead []lookAhead

	re   *regexp.Regexp
	slow *jsregexp.Regexp
	size int // instructions of re

	bytes int64 // of memory that all of it takes, about
}

// lookAhead is a condition on what a subject has at offset.
type lookAhead struct {
	offset int // bytes
	wanted bool
	re     *regexp.Regexp
	size   int // instructions
	bytes  int64
}

// compilePattern compiles source. fold makes it ignore case.
func compilePattern(source string, fold bool) (*pattern, error) {
	tree, err := jsregexp.Parse(source, fold)
	if err != nil {
		return nil, err
	}
	p := &pattern{names: tree.Names, fold: fold}
	rest := p.cutLookAheads(tree.Root)
	ok, err := p.compile(rest)
	if err != nil {
		return nil, err
	}
	if !ok {
		rest, p.ahead = tree.Root, nil
		if p.slow, err = tree.Compile(); err != nil {
			return nil, err
		}
		p.bytes = patternBytes + p.slow.Bytes()
	}
	if isAnchored(rest) {
		p.learn(scan(jsregexp.NewConcat(rest.Subs[1 : len(rest.Subs)-1]...)))
	}
	return p, nil
}

// compile compiles root for Go's engine; ok is false where that has no equal
// form. An error is a pattern that is too large for it.
func (p *pattern) compile(root *jsregexp.Node) (ok bool, err error) {
	source, ok := (&jsregexp.Tree{Root: root, Names: p.names}).GoSyntax()
	if !ok {
		return false, nil
	}
	if p.size, p.bytes, err = programSize(source); err != nil {
		return false, err
	}
	if p.re, err = regexp.Compile(source); err != nil {
		return false, nil //nolint:nilerr // it repeats something more often than Go's engine can
	}
	for _, ahead := range p.ahead {
		p.size, p.bytes = p.size+ahead.size, p.bytes+ahead.bytes
	}
	return true, nil
}

// programSize returns how many instructions Go's engine has for source and how
// many bytes these take, or an error if they are too many. Of what that engine
// cannot read it says 0.
func programSize(source string) (size int, bytes int64, err error) {
	instructions, classes, err := measure(source)
	if err != nil {
		return 0, 0, nil //nolint:nilerr // the other engine may read it
	}
	if instructions > maxProgram {
		return 0, 0, fmt.Errorf("%d steps to match it are more than %d", instructions, maxProgram)
	}
	return int(instructions), patternBytes + instructionBytes*instructions + classes, nil
}

// isAnchored reports whether root is all between ^ and $.
func isAnchored(root *jsregexp.Node) bool {
	n := len(root.Subs)
	return root.Kind == jsregexp.Concat && n >= 2 && root.Subs[0].Kind == jsregexp.Begin && root.Subs[n-1].Kind == jsregexp.End
}

// cutLookAheads takes the look-aheads that follow a fixed text at the start of
// root into ahead and returns root without them. Such a one depends on nothing
// but the text from a known place on, so it can be tested on its own.
func (p *pattern) cutLookAheads(root *jsregexp.Node) *jsregexp.Node {
	if !isAnchored(root) {
		return root
	}
	offset := 0
	rest, _ := p.cut(root, &offset)
	return rest
}

// cut is cutLookAheads of n, which begins at offset. goOn reports whether the text
// up to the end of n is fixed.
func (p *pattern) cut(n *jsregexp.Node, offset *int) (rest *jsregexp.Node, goOn bool) {
	switch n.Kind {
	case jsregexp.Char:
		*offset += len(string(n.Rune))
		return n, p.isFixed(n)
	case jsregexp.Begin:
		return n, true
	case jsregexp.Capture, jsregexp.Concat:
		copied := *n
		copied.Subs, goOn = nil, true
		for _, sub := range n.Subs {
			if goOn {
				sub, goOn = p.cut(sub, offset)
			}
			copied.Subs = append(copied.Subs, sub)
		}
		return &copied, goOn
	case jsregexp.Look:
		ahead, ok := compileLookAhead(n)
		if !ok {
			return n, false
		}
		ahead.offset = *offset
		p.ahead = append(p.ahead, ahead)
		return jsregexp.NewConcat(), true
	default:
		return n, false
	}
}

// isFixed reports whether n is one text that can be compared, in either case
// with fold.
func (p *pattern) isFixed(n *jsregexp.Node) bool {
	return n.Kind == jsregexp.Char && n.Fold == p.fold && (!p.fold || n.Rune < utf8.RuneSelf)
}

// isText reports whether t is text that a match certainly has.
func (p *pattern) isText(t token) bool {
	return t.kind == literal && t.quantifier == "" && p.isFixed(t.node)
}

// compileLookAhead compiles n if it is a look-ahead that has no groups and does
// not look at what comes before it.
func compileLookAhead(n *jsregexp.Node) (ahead lookAhead, ok bool) {
	if n.Behind || looksBack(n.Subs[0]) {
		return ahead, false
	}
	tree := jsregexp.Tree{Root: jsregexp.NewConcat(&jsregexp.Node{Kind: jsregexp.Begin}, n.Subs[0])}
	source, ok := tree.GoSyntax()
	if !ok {
		return ahead, false
	}
	var err error
	if ahead.size, ahead.bytes, err = programSize(source); err != nil {
		return ahead, false
	}
	ahead.wanted = !n.Not
	ahead.re, err = regexp.Compile(source)
	return ahead, err == nil
}

// looksBack reports whether n has a group, or a condition on what comes before it.
func looksBack(n *jsregexp.Node) bool {
	switch n.Kind {
	case jsregexp.Capture, jsregexp.Begin, jsregexp.Word, jsregexp.NotWord:
		return true
	default:
		return slices.ContainsFunc(n.Subs, looksBack)
	}
}

// learn finds out what every match of tokens has, which are all between the
// anchors.
func (p *pattern) learn(tokens []token) {
	if p.linear = linearise(tokens, p.isText); p.slow != nil {
		p.linear = nil
	}
	first, last := 0, len(tokens)-1
	for ; first <= last && (p.isText(tokens[first]) || transparent(tokens, first)); first++ {
		p.prefix += tokens[first].text
	}
	for ; last >= first && (p.isText(tokens[last]) || transparent(tokens, last)); last-- {
		p.suffix = tokens[last].text + p.suffix
	}
	p.infix = p.infixOf(tokens, first, last)
}

// infixOf returns the longest text, of characters without case, that every match
// of tokens[first:last+1] has: "." for (\.rsc|\.txt). A lone slash says nothing.
func (p *pattern) infixOf(tokens []token, first, last int) (longest string) {
	keep := func(text string) {
		if len(text) > len(longest) && text != "/" {
			longest = text
		}
	}
	run := ""
	for i := first; i <= last; i++ {
		switch t := tokens[i]; {
		case p.isCaseless(t):
			run += t.text
			keep(run)
		case transparent(tokens, i):
		case t.kind == open:
			run = ""
			if t.barred && tokens[t.partner].quantifier == "" && t.flavour != "(?" {
				keep(p.commonStart(tokens[i+1 : t.partner]))
			}
			i = t.partner
		default:
			run = ""
		}
	}
	return longest
}

// commonStart returns the text, of characters without case, that all of the
// alternatives in tokens begin with.
func (p *pattern) commonStart(tokens []token) (common string) {
	start, begins, first := "", true, true
	for i := 0; i <= len(tokens); i++ {
		switch {
		case i == len(tokens) || tokens[i].kind == bar:
			if first {
				common = start
			}
			for !strings.HasPrefix(start, common) {
				common = common[:len(common)-1]
			}
			start, begins, first = "", true, false
		case begins && p.isCaseless(tokens[i]):
			start += tokens[i].text
		default:
			begins = false
			if tokens[i].kind == open {
				return ""
			}
		}
	}
	return common
}

// isCaseless reports whether t is text that looks the same in either case.
func (p *pattern) isCaseless(t token) bool {
	return p.isText(t) && (!p.fold || t.text[0]|0x20 < 'a' || t.text[0]|0x20 > 'z')
}

// groups are what the groups of a pattern matched, by number; [0] is the whole.
type groups []string

// match reports whether p matches text. With into not nil, it is set to the
// groups, in its own memory where that is enough. The error is a pattern that
// needs more steps of the backtracking engine than are left.
func (p *pattern) match(text string, steps *int, into *groups) (bool, error) {
	if !p.mayMatch(text) || !p.looksAhead(text) {
		return false, nil
	}
	if p.linear != nil {
		return p.linear.match(text, p.same, into, len(p.names)), nil
	}
	if p.slow != nil {
		return p.slow.Match(text, steps, (*[]string)(into))
	}
	if into == nil {
		return p.re.MatchString(text), nil
	}
	loc := p.re.FindStringSubmatchIndex(text)
	if loc == nil {
		return false, nil
	}
	*into = (*into)[:0]
	for i := 0; i < len(loc); i += 2 {
		group := ""
		if loc[i] >= 0 {
			group = text[loc[i]:loc[i+1]]
		}
		*into = append(*into, group)
	}
	return true, nil
}

// mayMatch is false where p certainly does not match; it costs next to nothing.
func (p *pattern) mayMatch(text string) bool {
	n := len(p.prefix)
	return len(text) >= n+len(p.suffix) && p.same(text[:n], p.prefix) &&
		p.same(text[len(text)-len(p.suffix):], p.suffix) && (p.infix == "" || strings.Contains(text[n:], p.infix))
}

func (p *pattern) looksAhead(text string) bool {
	for i := range p.ahead {
		if p.ahead[i].re.MatchString(text[p.ahead[i].offset:]) != p.ahead[i].wanted {
			return false
		}
	}
	return true
}

// timed is [pattern.match], and the processor time that it took.
func (p *pattern) timed(text string, steps *int, into *groups) (ok bool, took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := cputime.Thread()
	ok, err = p.match(text, steps, into)
	return ok, cputime.Thread() - began, err
}

// same compares text with literal; both have the same length.
func (p *pattern) same(text, literal string) bool {
	if text == literal {
		return true
	}
	if !p.fold {
		return false
	}
	for i := range len(literal) {
		a, b := text[i], literal[i]
		if a != b && (a|0x20 != b|0x20 || a|0x20 < 'a' || a|0x20 > 'z') {
			return false
		}
	}
	return true
}
