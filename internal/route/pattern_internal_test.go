package route

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// sources returns the patterns of all tables in testdata, and some difficult ones.
func sources(t testing.TB) []string {
	t.Helper()
	list := []string{
		`^/a/(.*)$`, `^/(.+?)(?:/)?$`, `^/(.*?)/?$`, `^/([^/]+)/b/([^/]+?)(?:/)?$`, `^/x(?:/([^/]*))$`, `^/(a)(b)?c$`,
		`^/(?!a)(?!b)(.*)$`, `^/(?:(?!api|_next).*)$`, `^/((?!index$|e$).*?)(?:/)?$`, `^(?!/x)/([^/]+)/y(?<s>\.a|\.b|\.c/.+)?$`,
		`^/(?=ab)(.*)$`, `^/(?!x)a|b$`, `^/(?:(?!x)a|b)c$`, `^/(?:(?!x)a)?b$`, `^/(?!(a)b)(.*)$`, `^/(?!\bfoo)(.*)$`,
		`^/(a|b|ab)(c|bcd)(d*)$`, `^/(\w+)\s(\d+)$`, `^/(a+)\1$`, `^/(?<n>a+)-\k<n>$`, `^/a{2,3}(b{1}|c{0,2}?)$`,
		`^/[^/]*?\.([a-z]{2,})(\.rsc|\.json)$`, `^/[]a]+$`, `^/[[:alpha:]]+$`, `^/é(.*)$`, `^/ſ(.*)$`, `^/(?i)a$`, `^/\x41$`,
		`^$`, `^/$`, `^.*$`, `^/(.*)(.*)$`, `^/(.*)\.html/?$`, `^/(?:(.+)/)?index(?:\.html)?/?$`, `^/()$`, `^/(()|a)+$`, `^/a\/b$`,
		`^/(?<!a)b$`, `^(a+)+$`, `^/(?>a+)b$`, `^/([^/]+?)/?$`, `^/([^/]+)(/?)$`, `^/(.+)\.(?:js|ts)$`, `^/.$`, `^/(?:a.c)$`,
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		config, _, _ := strings.Cut(string(text), "-- outputs --")
		var c struct {
			Routes []lateen.Route `json:"routes"`
		}
		if err := json.Unmarshal([]byte(config[strings.Index(config, "{"):]), &c); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Routes {
			if r.Src != "" {
				list = append(list, anchored(r.Src))
			}
		}
	}
	return list
}

// backtrackingOnly matches with the backtracking engine alone, without shortcuts and
// with look-aheads in place. The engine's own package compares it with Node.js.
func backtrackingOnly(source string, fold bool, text string) (groups, error) {
	tree, err := jsregexp.Parse(source, fold)
	if err != nil {
		return nil, err
	}
	re, err := tree.Compile()
	if err != nil {
		return nil, err
	}
	var found groups
	steps := 10 * matchSteps
	if ok, err := re.Match(text, &steps, (*[]string)(&found)); !ok || err != nil {
		return nil, err
	}
	return found, nil
}

// comparePattern fails if a pattern and an engine alone disagree.
func comparePattern(t *testing.T, source string, fold bool, text string) {
	t.Helper()
	p, err := compilePattern(source, fold)
	if err != nil {
		return
	}
	want, err := backtrackingOnly(source, fold, text)
	if err != nil {
		return // too slow for one is too slow for the other
	}
	var got groups
	steps := matchSteps
	ok, err := p.match(text, &steps, &got)
	if err != nil {
		return
	}
	if !ok {
		got = nil
	}
	if diff := cmp.Diff([]string(want), []string(got)); diff != "" {
		t.Errorf("%s on %q, fold %t (-engine +pattern):\n%s", source, text, fold, diff)
	}
	steps = matchSteps
	if ok, err := p.match(text, &steps, nil); err == nil && ok != (want != nil) {
		t.Errorf("%s on %q, fold %t: %t without groups", source, text, fold, ok)
	}
}

func TestPatternsMatchAsTheirEnginesDo(t *testing.T) {
	subjects := []string{
		"", "/", "/a", "/a/", "/A/b", "/a/b/c", "/index", "/index/", "/index.html", "/x/index.html", "/e", "/api/x", "/_next/static/chunks/a.js",
		"/posts/one", "/posts/one/", "/posts/one.rsc", "/posts/one.segments/x/y.segment.rsc", "/hello.rsc", "/404", "/404/", "/500", "/Home/",
		"/about.html", "/a.b/c.d", "/abc", "/abcd", "/aab", "/aa", "/aa-aa", "/x\ny", "/a\n", "/café", "/a/é/", "/fOO bar 1", "/w 12", "/A", "/é/x",
		"/a.json", "/.rsc", "/x/.rsc", "/b", "/ab", "/y", "/q/y.a", "/q/y.c/d", "/foo", "/[]", "/a.c", "/aXc", "//", "/a//b", "/_next/data/x/y.json",
		"/docs/", "/docs/x", "/guide/a/b", "/isr/_payload.json", "/_nuxt/builds/meta/a.json", "/users/7.ts", "/c.js", "/ ", "/é",
	}
	for _, source := range sources(t) {
		for _, text := range subjects {
			comparePattern(t, source, true, text)
			comparePattern(t, source, false, text)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, source := range sources(f) {
		f.Add(source, "/posts/one.rsc", true)
		f.Add(source, "/a/b/", false)
	}
	f.Fuzz(func(t *testing.T, source, text string, fold bool) {
		if len(source) > 200 || len(text) > 200 || strings.ContainsRune(text, '\ufffd') {
			return
		}
		if strings.ToValidUTF8(text, "") != text || strings.ToValidUTF8(source, "") != source {
			return
		}
		comparePattern(t, anchored(source), fold, text)
	})
}

func TestPatternThatTakesTooLongIsAnError(t *testing.T) {
	p, err := compilePattern(`^(?=(a+))\1*(a|aa)+(?!b)c$`, true)
	if err != nil {
		t.Fatal(err)
	}
	steps := matchSteps
	if _, err = p.match(strings.Repeat("a", 5000)+"!c", &steps, nil); err == nil || steps > 0 {
		t.Error("no error")
	}
}

func TestMalformedPatternIsRefused(t *testing.T) {
	for _, source := range []string{`^/($`, `^/a)$`, `^/[a$`, `^/**$`, `^/(?<n>a)\k<m>$`, `^/(?<>a)$`, `^/(?R)$`} {
		if p, err := compilePattern(source, true); err == nil {
			t.Errorf("%s compiled: %+v", source, p)
		}
	}
}

func TestNamedGroupsAreNumberedInOrder(t *testing.T) {
	p, err := compilePattern(`^/(?<a>x)(y)(?P<b>z)(?:w)('?)\k<a>(?!q)$`, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "a", "", "b", ""}, p.names); diff != "" {
		t.Error(diff)
	}
	var got groups
	steps := matchSteps
	if ok, err := p.match("/xyzwx", &steps, &got); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if diff := cmp.Diff(groups{"/xyzwx", "x", "y", "z", ""}, got); diff != "" {
		t.Error(diff)
	}
}

// The test ensures that the shortcuts stay in use.
func TestEnginesAreSkippedIfPossible(t *testing.T) {
	for _, tt := range []struct {
		source string
		linear bool
		ahead  int
		slow   bool
	}{
		{source: `^/about$`, linear: true},
		{source: `^/_next/static/(.*)$`, linear: true},
		{source: `^/posts/(?<nxtPslug>[^/]+?)(?:/)?$`, linear: true},
		{source: `^/((?!index$).*?)(?:/)?$`, linear: true, ahead: 1},
		{source: `^/((?!api|_next).*)$`, linear: true, ahead: 1},
		{source: `^(?!/_next)/home(?:/)?$`, linear: true, ahead: 1},
		{source: `^/(?:en|fr)/(.*)$`},
		{source: `^/rest(/[^]*)?/?$`},
		{source: `^(?:/(x))?(?:/((?!_next/).*))$`, slow: true},
	} {
		p, err := compilePattern(tt.source, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.linear != nil; got != tt.linear || len(p.ahead) != tt.ahead || (p.backtracking != nil) != tt.slow {
			t.Errorf("%s: linear %t, %d look-aheads, slow %t", tt.source, got, len(p.ahead), p.backtracking != nil)
		}
	}
}

// Next.js writes the same conditions for each page; compiling each of them took half
// of the time of its table.
func TestAPatternOfManyPagesIsCompiledOnce(t *testing.T) {
	action := []lateen.HasField{{Type: "header", Key: "Next-Action", Value: &lateen.Condition{Re: "[a-f0-9]{40}"}}}
	r, err := Compile(&lateen.Manifest{
		Routes: []lateen.Route{{Src: "/(.*)", Has: action, Status: 404}, {Src: "/(.*)", Has: action, CaseSensitive: true, Status: 405}},
		Prerenders: map[string]lateen.Prerender{
			"/a": {BypassFor: action},
			"/b": {BypassFor: action},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := r.table[start][0].has[0].re
	for name, got := range map[string]*pattern{
		"the second route": r.table[start][1].has[0].re,
		"page /a":          r.bypass["/a"].list[0].re,
		"page /b":          r.bypass["/b"].list[0].re,
	} {
		if got != want {
			t.Errorf("%s has a pattern of its own", name)
		}
	}
	if r.table[start][0].src == r.table[start][1].src {
		t.Error("a source that ignores case shares its pattern with one that does not")
	}
}
