package jsregexp_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// question is a pattern and a text.
type question struct {
	Source string `json:"source"`
	Fold   bool   `json:"fold"`
	Text   string `json:"text"`
}

type answer struct {
	Refused bool     `json:"refused"`
	Groups  []string `json:"groups"`
}

// ask evaluates the questions with the RegExp of Node.js.
const ask = `
const answers = JSON.parse(require('fs').readFileSync(0, 'utf8')).map(({ source, fold, text }) => {
  let re
  try { re = new RegExp(source, fold ? 'i' : '') } catch { return { refused: true, groups: null } }
  const groups = re.exec(text)
  return { refused: false, groups: groups && Array.from(groups, (g) => g ?? '') }
})
process.stdout.write(JSON.stringify(answers))`

func askNode(t *testing.T, questions []question) []answer {
	t.Helper()
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	node, err := filepath.Abs("../../.cache/node/bin/node") // older versions lack some of the syntax
	if _, missing := os.Stat(node); err != nil || missing != nil {
		node = "node"
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", ask)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v (run `make setup`)", err)
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions: %v", len(answers), len(questions), err)
	}
	return answers
}

// pcre matches the syntax of PCRE that is accepted besides ECMAScript's.
var pcre = regexp.MustCompile(`[*+?}]\+|\(\?>|\(\?P<|\(\?[is-]*\)|\(\?[is-]+:`)

// compare evaluates the questions with Node.js and this package, and with Go's
// regexp if [Tree.GoSyntax] has a source.
func compare(t *testing.T, questions []question) {
	t.Helper()
	matched, inGo := 0, 0
	for i, want := range askNode(t, questions) {
		q := questions[i]
		if want.Refused && pcre.MatchString(q.Source) {
			continue
		}
		got, linear := answerOf(t, q)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s on %q, fold %t (-node +lateen):\n%s", q.Source, q.Text, q.Fold, diff)
		}
		if linear != nil {
			inGo++
			if diff := cmp.Diff(want, *linear); diff != "" {
				t.Errorf("%s on %q, fold %t (-node +Go's engine):\n%s", q.Source, q.Text, q.Fold, diff)
			}
		}
		if want.Groups != nil {
			matched++
		}
	}
	t.Logf("%d questions, %d matches, %d also by Go's engine", len(questions), matched, inGo)
}

func answerOf(t *testing.T, q question) (got answer, linear *answer) {
	t.Helper()
	tree, err := jsregexp.Parse(q.Source, q.Fold)
	if err != nil {
		return answer{Refused: true}, nil
	}
	re, err := tree.Compile()
	if err != nil {
		t.Fatalf("%s: %v", q.Source, err)
	}
	steps := 200_000_000
	if ok, err := re.Match(q.Text, &steps, &got.Groups); err != nil {
		t.Fatalf("%s on %q: %v", q.Source, q.Text, err)
	} else if !ok {
		got.Groups = nil
	}
	if source, ok := tree.GoSyntax(); ok {
		if re, err := regexp.Compile(source); err == nil {
			linear = &answer{Groups: re.FindStringSubmatch(q.Text)}
		} else if !strings.Contains(err.Error(), "invalid repeat count") {
			t.Errorf("%s as %s: %v", q.Source, source, err)
		}
	}
	return got, linear
}

// The table has the cases in which other dialects differ.
func TestTheDialectIsECMAScript(t *testing.T) {
	texts := []string{
		"", "a", "A", "ab", "aab", "aaa", "b", "ba", "ac", "a\n", "\n", "\r", "\u2028", "\u00a0", "\ufeff", "\u180e", " ", "k", "K", "\u212a", "s", "ſ", "ß", "ẞ",
		"é", "É", "µ", "μ", "ǆ", "ǅ", "ᾀ", "ᾈ", "٣", "/ir", "/ir/", "/ir/x/y", "]", "[", "{", "a{", "a{,2}", "{1", "-", "\\", "\\c", "\\c1", "\x01", "\x00", "\b",
		"\x11", "8", "\x008", "x", "x4", "A4", "u", "u0041", "k<n>", "aa", "zz", "abab", "aAbB", "Q", "QaE", "a:", "p{L}", "z", "_", "foo", "foobar", "barfoo", "xbar",
	}
	var questions []question
	for _, source := range []string{
		`^/ir(/[^]*)?/?$`, `^([^]*)([^]*)$`, `[]`, `[]]`, `[^]]`, `^[]a]`, `^.$`, `^a$`, `^\s$`, `^\S$`, `^\w$`, `^\W$`, `^\d$`, `^\D$`, `\bfoo`, `foo\B`,
		`^[\w-a]$`, `^[a-\d]$`, `^[--a]$`, `^[a-]$`, `[b-a]`, `^[\b]$`, `^\cA$`, `^\ca$`, `^\c1$`, `^[\c1]$`, `^[\c_]$`, `^[\c*]$`, `^\c$`, `\c`,
		`^\0$`, `^\08$`, `^\1$`, `^\21$`, `^\400$`, `^\8$`, `^[\1]$`, `^[\8]$`, `^\x4$`, `^\x41$`, `^\x{41}$`, `^\u0041$`, `^\u{41}$`, `^\u41$`, `^\k<n>$`, `^(?<n>a)\k<n>$`,
		`^\k<n>(?<n>a)$`, `(?<n>a)\k`, `(?<n>a)[\k]`, `(?<n>a)|(?<n>b)`, `(?:(?<n>a)|(?<n>b))\k<n>`, `(?<n>a)(?<n>b)`, `(?<n>`, `(?<1>a)`, `(?<>a)`, `(?<n$_é>a)`, `(?<a-b>a)`, `(?<=a)b`, `(?<!a)b`, `(?<=(a)(b*))$`,
		`(?<=(\w)\1)$`, `(?<=\1(\w))$`, `(?<=a+)b`, `(?<=^a)b*`, `(?=a)*b`, `(?=a){0}b`, `(?!a)?b`, `(?<=a)*`, `^*`, `$+`, `\b?`, `a**`, `a{1}{2}`, `{1}`, `{`, `a{`, `a{,2}`,
		`a{2,1}`, `a{1`, `}`, `]`, `)`, `(`, `[`, `[a`, `\`, `a\`, `[\`, `(?`, `(?a)`, `(?:`, `(?=`, `*`, `+`, `?`, `|`, `a||b`, `()`, `(|a)+`, `(a|)*`, `(a*)*`, `(a*)+`,
		`^(a*)?(.*)$`, `^(a*?)?(.*)$`, `^(?:(a)|b)*$`, `^(?:(a)|(b))+$`, `^(a\1)+$`, `^(?:\1(a))+$`, `^\2(a)(b)?$`, `^(?:(a)?b)*$`, `(z)((a+)?(b+)?(c))*`, `^(?=(a+))a*b\1`, `(.*?)a(?!(a+)b\2c)\2(.*)`,
		`^(?:a|ab)(?:c|bcd)?$`, `^\Qa\E$`, `^[[:alpha:]]$`, `^\A`, `\Z`, `^\p{L}$`, `^\/ir`, `^\-$`, `^\_$`, `^\é$`, `^\e$`, `(?i:a)b`, `(?-i:a)b`, `(?i:a`, `(?s:.)$`, `^[^a]$`, `^[^k]$`,
		`^[a-z]$`, `^[À-Þ]$`, `^ß$`, `^ſ$`, `^\u212a$`, `^µ$`, `^ǅ$`, `^ᾀ$`, `^[\W]$`, `^[^\W]$`, `^(?:a{0})b`, `^(a){0}b`, `^a{0,0}`, `^(?:ab){2}$`, `^(?:a?){2,3}$`, `^(?:a?)*?$`, `^(?:a??)*$`, `a{99999999999999999999}`,
		`^(?:a{2,}){2,}$`, `^(?:x*)*$`, `[\d-z]`, `[z-\d]`, `[\s\S]`, `[^\s\S]`, `^[\u0041-\u005a]$`, `^[\x41-\x5a]$`, `\u{1}`, `^a(?#b)`, `(?P=n)`, `^(?:)$`, `^(?:|)$`, `(?<a>.)(?<b>.)\k<b>\k<a>`,
	} {
		for _, text := range texts {
			questions = append(questions, question{source, false, text}, question{source, true, text})
		}
	}
	compare(t, questions)
}

var seed = flag.Uint64("seed", 262, "of the generated patterns")

// The test compares 10,000 generated patterns on paths.
func TestGeneratedPatternsMatchAsInNode(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(*seed, 22))}
	questions := make([]question, 10_000)
	for i := range questions {
		source := g.disjunction(3)
		if g.IntN(2) == 0 {
			source = "^" + source + "$"
		}
		if g.IntN(10) == 0 { // damaged
			at := g.IntN(len(source) + 1)
			source = source[:at] + g.pick("(", ")", "[", "]", "{", "}", "*", "\\", "?", "|", "^", "-") + source[at:]
		}
		questions[i] = question{strings.ToValidUTF8(source, ""), g.IntN(2) == 0, g.text()}
	}
	compare(t, questions)
}

type generator struct{ *rand.Rand }

func (g generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) text() string {
	var b strings.Builder
	for range g.IntN(9) {
		b.WriteString(g.pick("a", "a", "b", "A", "B", "/", "/", ".", "-", "1", "_", "ab", "aa", "é", "É", "k", "\n", " ", "s", "ſ", "\u212a"))
	}
	return b.String()
}

func (g generator) disjunction(depth int) string {
	alternatives := []string{g.alternative(depth)}
	for g.IntN(4) == 0 {
		alternatives = append(alternatives, g.alternative(depth))
	}
	return strings.Join(alternatives, "|")
}

func (g generator) alternative(depth int) string {
	var b strings.Builder
	for range g.IntN(4) + g.IntN(2) {
		b.WriteString(g.term(depth))
	}
	return b.String()
}

func (g generator) term(depth int) string {
	atom := g.pick("a", "b", "/", "A", ".", ".", `\.`, `\/`, "é", "k", `\w`, `\W`, `\d`, `\s`, "[^/]", "[ab]", "[^a]", "[a-é]", "[^]", `\1`, `\2`, "ab", "_", "1", `\x61`, `[\w.-]`, "s")
	switch {
	case depth > 0 && g.IntN(3) == 0:
		atom = fmt.Sprintf("(%s%s)", g.pick("", "", "", "?:", "?:", "?=", "?!", "?<=", "?<!"), g.disjunction(depth-1))
	case g.IntN(12) == 0:
		return g.pick("^", "$", `\b`, `\B`)
	}
	return atom + g.pick("", "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}?")
}
