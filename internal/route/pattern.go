package route

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/dlclark/regexp2"

	"github.com/lateen-dev/lateen/internal/cputime"
)

// The bounds that keep one table from using up the time of all others.
const (
	matchTimeout = 50 * time.Millisecond  // of one run of a pattern that needs backtracking
	matchTries   = 20                     // of a run that got no processor for half of that
	matchBudget  = 100 * time.Millisecond // of a processor, for all costly runs for one request
	costly       = 1 << 17                // instructions times bytes from where on a run counts
	maxProgram   = 10_000                 // instructions of a pattern
)

// pattern is a compiled regular expression, anchored at both ends. Its flavour
// is PCRE's without Unicode properties: \d, \w and \s are ASCII.
//
// Three engines give the same answer, the first that can takes the pattern:
// comparing strings, Go's regexp (in linear time), and backtracking under a time
// limit for what that cannot do (look-around, back references).
type pattern struct {
	names []string // of each group by number, "" for none; names[0] is the whole match
	fold  bool     // case is ignored

	// What every match has, to skip an engine; with fold this says something of
	// ASCII subjects only. infix comes after prefix.
	prefix, suffix, infix string
	linear                linear // the whole pattern, or nil
	// ahead are look-aheads at a fixed place in prefix, taken out of the rest.
	ahead []lookAhead

	re   *regexp.Regexp
	slow *regexp2.Regexp
	size int // instructions that re or slow has; slow ones count as many

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
	plain, names, err := unname(source)
	if err != nil {
		return nil, err
	}
	p := &pattern{names: names, fold: fold}
	rest := p.cutLookAheads(plain)
	if p.compile(rest) != nil {
		rest, p.ahead = plain, nil
		if err := p.compile(plain); err != nil {
			return nil, err
		}
	}
	if tokens, ok := scanTokens(rest); ok && isAnchored(tokens, rest) {
		p.learn(tokens[1 : len(tokens)-1])
	}
	return p, nil
}

// compile compiles source for the first engine that takes it; regexp only as
// long as look-aheads are apart.
func (p *pattern) compile(source string) (err error) {
	if p.size, p.bytes, err = programSize(p.flags() + source); err != nil {
		return err
	}
	if p.re, err = regexp.Compile(p.flags() + source); err == nil {
		for _, ahead := range p.ahead {
			p.size, p.bytes = p.size+ahead.size, p.bytes+ahead.bytes
		}
		return nil
	}
	if len(p.ahead) > 0 {
		return err
	}
	options := regexp2.RegexOptions(regexp2.RE2)
	if p.fold {
		options |= regexp2.IgnoreCase
	}
	if p.slow, err = regexp2.Compile(source, options); err != nil {
		return err
	}
	p.size, p.slow.MatchTimeout = costly, matchTimeout
	p.bytes = patternBytes + slowBytes*int64(len(source))
	return nil
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

func (p *pattern) flags() string {
	if p.fold {
		return "(?i)"
	}
	return ""
}

func isAnchored(tokens []token, source string) bool {
	n := len(tokens)
	return n >= 2 && source[0] == '^' && tokens[0].quantifier == "" && tokens[n-1].kind == assert && strings.HasSuffix(source, "$")
}

// cutLookAheads takes the look-aheads that follow a fixed text at the start of
// plain into ahead and returns plain without them. Such a one depends on nothing
// but the text from a known place on, so it can be tested on its own.
func (p *pattern) cutLookAheads(plain string) (rest string) {
	tokens, ok := scanTokens(plain)
	if !ok || !isAnchored(tokens, plain) {
		return plain
	}
	offset, done := 0, 0
	for i := 1; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case p.isText(t):
			offset += len(t.text)
		case transparent(tokens, i):
		case t.kind == open:
			end := tokens[t.partner]
			ahead, ok := p.lookAhead(plain, tokens[i:t.partner+1])
			if !ok {
				return rest + plain[done:]
			}
			ahead.offset = offset
			p.ahead = append(p.ahead, ahead)
			rest += plain[done:t.start]
			done, i = end.end, t.partner
		default:
			return rest + plain[done:]
		}
	}
	return rest + plain[done:]
}

// isText reports whether t is text that a match certainly has.
func (p *pattern) isText(t token) bool {
	return t.kind == literal && t.quantifier == "" && (!p.fold || t.text[0] < 0x80)
}

// lookAhead compiles the group of tokens if it is a look-ahead that has no
// groups and does not look at what comes before it.
func (p *pattern) lookAhead(plain string, tokens []token) (ahead lookAhead, ok bool) {
	var err error
	group, end := tokens[0], tokens[len(tokens)-1]
	if group.flavour != "?!" && group.flavour != "?=" || end.quantifier != "" {
		return ahead, false
	}
	for _, t := range tokens[1 : len(tokens)-1] {
		if t.kind == open && t.flavour != "?:" || t.kind == assert && plain[t.start:t.end] != "$" {
			return ahead, false
		}
	}
	source := p.flags() + "^(?:" + plain[group.start+len("(?!"):end.start] + ")"
	if ahead.size, ahead.bytes, err = programSize(source); err != nil {
		return ahead, false
	}
	ahead.wanted = group.flavour == "?="
	ahead.re, err = regexp.Compile(source)
	return ahead, err == nil
}

// learn finds out what every match of tokens has, which are all between the
// anchors.
func (p *pattern) learn(tokens []token) {
	for i := range tokens {
		tokens[i].partner-- // of the anchor before
	}
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
			if t.barred && tokens[t.partner].quantifier == "" && (t.flavour == "" || t.flavour == "?:") {
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

// match reports whether p matches text. ascii says that text is ASCII. With
// into not nil, it is set to the groups, in its own memory where that is enough.
// The error is a pattern that took too long.
func (p *pattern) match(text string, ascii bool, into *groups) (bool, error) {
	if !p.mayMatch(text, ascii) || !p.looksAhead(text) {
		return false, nil
	}
	if p.linear != nil && (ascii || !p.fold) {
		return p.linear.match(text, p.same, into, len(p.names)), nil
	}
	if p.slow != nil {
		return p.slowly(text, into)
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
// Where case is ignored and text is not ASCII, letters have more forms than the
// two that are compared here, and only the text before a look-ahead must be one
// of those.
func (p *pattern) mayMatch(text string, ascii bool) bool {
	if p.fold && !ascii && len(p.ahead) == 0 {
		return true
	}
	n := len(p.prefix)
	if len(text) < n+len(p.suffix) || !p.same(text[:n], p.prefix) {
		return false
	}
	if p.fold && !ascii {
		return true
	}
	return p.same(text[len(text)-len(p.suffix):], p.suffix) && (p.infix == "" || strings.Contains(text[n:], p.infix))
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
func (p *pattern) timed(text string, ascii bool, into *groups) (ok bool, took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := cputime.Thread()
	ok, err = p.match(text, ascii, into)
	return ok, cputime.Thread() - began, err
}

func (p *pattern) slowly(text string, into *groups) (bool, error) {
	if into == nil {
		return p.slow.MatchString(text)
	}
	m, err := p.slow.FindStringMatch(text)
	if m == nil || err != nil {
		return false, err
	}
	*into = (*into)[:0]
	for _, g := range m.Groups() {
		*into = append(*into, g.String())
	}
	return true, nil
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
