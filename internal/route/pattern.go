package route

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lateen-dev/lateen/internal/cputime"
	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// The bounds that keep one table from using up the processor time of all others.
const (
	matchBudget = 100 * time.Millisecond // processor time of all timed runs for one request
	matchSteps  = 4_000_000              // steps of the backtracking engine for one request; tens of milliseconds
	timedWork   = 1 << 17                // instructions times bytes from which a run of Go's engine is timed
	untimedWork = 1 << 22                // total of the runs below that, for one request, that are not timed; milliseconds
	matchText   = 1 << 25                // bytes of text and values that are searched without an engine, for one request; tens of milliseconds
	maxProgram  = 10_000                 // instructions of a pattern
)

// pattern is a compiled regular expression, anchored at both ends. Its dialect is
// ECMAScript's, see [jsregexp].
//
// Three engines have the same results. The first one that supports the pattern is
// used: comparing strings, Go's regexp (in linear time), and backtracking with a
// bound of steps for the remaining syntax (look-around, back references).
type pattern struct {
	names []string // names of the groups by number, "" for none; names[0] is the whole match
	fold  bool     // case is ignored

	// Text that every match has, to skip an engine. With fold it is ASCII that is
	// not the other case of a non-ASCII character. infix follows prefix.
	prefix, suffix, infix string
	linear                linear // the whole pattern, or nil
	// ahead are look-aheads at a fixed offset in prefix, removed from the rest.
	ahead []lookAhead

	re           *regexp.Regexp // nil if linear or backtracking is not
	backtracking *jsregexp.Regexp
	size         int // instructions of re, or steps of linear, and instructions of the look-aheads

	bytes int64 // approximate memory of the pattern
}

// lookAhead is a condition on the text of a subject from offset on.
type lookAhead struct {
	offset int // bytes
	wanted bool
	re     *regexp.Regexp
	size   int // instructions
	bytes  int64
}

// patterns are the compiled patterns of one table by their source: frameworks repeat
// a pattern in the routes and the conditions of many pages.
type patterns map[patternSource]*pattern

type patternSource struct {
	text string
	fold bool
}

// compile is [compilePattern], once for each source.
func (p patterns) compile(text string, fold bool) (*pattern, error) {
	source := patternSource{text: text, fold: fold}
	if known := p[source]; known != nil {
		return known, nil
	}
	compiled, err := compilePattern(text, fold)
	if err == nil {
		p[source] = compiled
	}
	return compiled, err
}

// compilePattern compiles source. fold makes it ignore case.
func compilePattern(source string, fold bool) (*pattern, error) {
	tree, err := jsregexp.Parse(source, fold)
	if err != nil {
		return nil, err
	}
	p := &pattern{names: tree.Names, fold: fold}
	rest := p.cutLookAheads(tree.Root)
	if p.deriveText(rest); p.linear != nil {
		p.size, p.bytes = len(p.linear), patternBytes+int64(len(source)+stepBytes*len(p.linear))
		p.addLookAheads()
		return p, nil
	}
	if ok, err := p.compile(rest); ok || err != nil {
		return p, err
	}
	p.ahead = nil
	if p.backtracking, err = tree.Compile(); err != nil {
		return nil, err
	}
	p.bytes = patternBytes + p.backtracking.Bytes()
	if rest != tree.Root {
		p.deriveText(tree.Root)
	}
	return p, nil
}

// compile compiles root for Go's engine; ok is false if that has no equal form. The
// error means that the pattern is too large for it.
func (p *pattern) compile(root *jsregexp.Node) (ok bool, err error) {
	source, ok := (&jsregexp.Tree{Root: root, Names: p.names}).GoSyntax()
	if !ok {
		return false, nil
	}
	if p.size, p.bytes, err = programSize(root, source); err != nil {
		return false, err
	}
	if p.re, err = regexp.Compile(source); err != nil {
		return false, nil //nolint:nilerr // it repeats something more often than Go's engine can
	}
	p.addLookAheads()
	return true, nil
}

// addLookAheads adds the sizes of the look-aheads to that of the rest.
func (p *pattern) addLookAheads() {
	for _, ahead := range p.ahead {
		p.size, p.bytes = p.size+ahead.size, p.bytes+ahead.bytes
	}
}

// programSize returns the number of instructions of Go's engine for root, whose source in
// Go's syntax is source, and their size in bytes, or an error if there are too many. For a
// source that Go's engine cannot parse it returns 0.
func programSize(root *jsregexp.Node, source string) (size int, bytes int64, err error) {
	instructions, classes := measure(root)
	if instructions > maxProgram {
		if _, err := syntax.Parse(source, syntax.Perl); err != nil {
			return 0, 0, nil //nolint:nilerr // the other engine may read it
		}
		return 0, 0, fmt.Errorf("the pattern needs %d instructions, more than %d", instructions, maxProgram)
	}
	return int(instructions), patternBytes + instructionBytes*instructions + classes, nil
}

// isAnchored reports whether root is between ^ and $.
func isAnchored(root *jsregexp.Node) bool {
	n := len(root.Subs)
	return root.Kind == jsregexp.Concat && n >= 2 && root.Subs[0].Kind == jsregexp.Begin && root.Subs[n-1].Kind == jsregexp.End
}

// cutLookAheads moves the look-aheads that follow a fixed text at the start of root
// into ahead and returns root without them. Such a look-ahead depends only on the
// text from a known offset on, so it can be tested separately.
func (p *pattern) cutLookAheads(root *jsregexp.Node) *jsregexp.Node {
	if !isAnchored(root) || !hasLookAround(root) {
		return root
	}
	offset := 0
	rest, _ := p.cut(root, &offset)
	return rest
}

func hasLookAround(n *jsregexp.Node) bool {
	return n.Kind == jsregexp.Look || slices.ContainsFunc(n.Subs, hasLookAround)
}

// cut is cutLookAheads of n, which begins at offset. fixed means that the text up to
// the end of n is fixed.
func (p *pattern) cut(n *jsregexp.Node, offset *int) (rest *jsregexp.Node, fixed bool) {
	switch n.Kind {
	case jsregexp.Char:
		*offset += len(string(n.Rune))
		return n, p.isFixed(n)
	case jsregexp.Begin:
		return n, true
	case jsregexp.Capture, jsregexp.Concat:
		copied := *n
		copied.Subs, fixed = nil, true
		for _, sub := range n.Subs {
			if fixed {
				sub, fixed = p.cut(sub, offset)
			}
			copied.Subs = append(copied.Subs, sub)
		}
		return &copied, fixed
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

// isFixed reports whether n is one text that can be compared, in either case with
// fold.
func (p *pattern) isFixed(n *jsregexp.Node) bool {
	return n.Kind == jsregexp.Char && n.Fold == p.fold && (!p.fold || n.Rune < utf8.RuneSelf)
}

// isText reports whether t is text that every match has.
func (p *pattern) isText(t token) bool {
	return t.kind == literal && t.quantifier == "" && p.isFixed(t.node)
}

// compileLookAhead compiles n if it is a look-ahead without groups that does not
// depend on the text before it.
func compileLookAhead(n *jsregexp.Node) (ahead lookAhead, ok bool) {
	if n.Behind || dependsOnEarlierText(n.Subs[0]) {
		return ahead, false
	}
	tree := jsregexp.Tree{Root: jsregexp.NewConcat(&jsregexp.Node{Kind: jsregexp.Begin}, n.Subs[0])}
	source, ok := tree.GoSyntax()
	if !ok {
		return ahead, false
	}
	var err error
	if ahead.size, ahead.bytes, err = programSize(tree.Root, source); err != nil {
		return ahead, false
	}
	ahead.wanted = !n.Not
	ahead.re, err = regexp.Compile(source)
	return ahead, err == nil
}

// dependsOnEarlierText reports whether n has a group, or a condition on the text
// before it.
func dependsOnEarlierText(n *jsregexp.Node) bool {
	switch n.Kind {
	case jsregexp.Capture, jsregexp.Begin, jsregexp.Word, jsregexp.NotWord:
		return true
	default:
		return slices.ContainsFunc(n.Subs, dependsOnEarlierText)
	}
}

// deriveText derives the text that every match has, and the linear form, from root.
func (p *pattern) deriveText(root *jsregexp.Node) {
	p.prefix, p.suffix, p.infix = "", "", ""
	if !isAnchored(root) {
		return
	}
	tokens := scan(jsregexp.NewConcat(root.Subs[1 : len(root.Subs)-1]...))
	if p.linear = linearise(tokens, p.isText); p.backtracking != nil {
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

// infixOf returns the longest text, of characters without case, that every match of
// tokens[first:last+1] has: "." for (\.rsc|\.txt). A lone slash is ignored.
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

// commonStart returns the longest text, of characters without case, with which all
// alternatives in tokens begin.
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

// isCaseless reports whether t is text without case.
func (p *pattern) isCaseless(t token) bool {
	return p.isText(t) && (!p.fold || t.text[0]|0x20 < 'a' || t.text[0]|0x20 > 'z')
}

// groups are the texts of a pattern's groups by number; [0] is the whole match.
type groups []string

// match reports whether p matches text. If into is not nil, match sets it to the
// groups and reuses its memory if that is large enough. The error means that the
// pattern needs more steps of the backtracking engine than are left.
func (p *pattern) match(text string, steps *int, into *groups) (bool, error) {
	if !p.mayMatch(text) || !p.matchesLookAheads(text) {
		return false, nil
	}
	if p.linear != nil {
		return p.linear.match(text, p.same, into, len(p.names)), nil
	}
	if p.backtracking != nil {
		return p.backtracking.Match(text, steps, (*[]string)(into))
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

// mayMatch is false if p does not match; it takes almost no time.
func (p *pattern) mayMatch(text string) bool {
	n := len(p.prefix)
	return len(text) >= n+len(p.suffix) && p.same(text[:n], p.prefix) &&
		p.same(text[len(text)-len(p.suffix):], p.suffix) && (p.infix == "" || strings.Contains(text[n:], p.infix))
}

func (p *pattern) matchesLookAheads(text string) bool {
	for i := range p.ahead {
		if p.ahead[i].re.MatchString(text[p.ahead[i].offset:]) != p.ahead[i].wanted {
			return false
		}
	}
	return true
}

// timed is [pattern.match] with the processor time that it took.
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
