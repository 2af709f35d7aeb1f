package route

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// The compiler of regexp/syntax itself gives the expected values.
func TestMeasureCountsTheInstructionsOfGosEngine(t *testing.T) {
	for _, source := range []string{
		"", "^$", "abc", "(?i)abc", "a|b|cd", "(a)(?:b)", "a*", "a+", "a?", "a{3}", "a{2,}", "a{0,}", "a{2,5}", "a{0}", "(a{10}b{3}){7}",
		`^/r1/(a{1000}b{1000})$`, "[a-z0-9]", `^(?:/(en|de|fr))?/([^/]+?)(?:/)?$`, "(?:)", "(ab|cd|ef)*x", ".", `\bx\b`,
	} {
		parsed, err := jsregexp.Parse(source, false)
		if err != nil {
			t.Fatal(err)
		}
		text, ok := parsed.GoSyntax()
		if !ok {
			t.Fatalf("%q has no form in Go's syntax", source)
		}
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(tree.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		got, _ := measure(parsed.Root)
		want := int64(len(program.Inst))
		if got < want-1 || got > want+want/4+3 {
			t.Errorf("%q: %d instructions, the compiler makes %d", source, got, want)
		}
	}
}

func greedyTable(n int) *lateen.Manifest {
	m := &lateen.Manifest{Routes: make([]lateen.Route, n)}
	for i := range m.Routes {
		m.Routes[i] = lateen.Route{Src: fmt.Sprintf("^/r%d/(a{1000}b{1000})$", i), Dest: "/$1"}
	}
	return m
}

func TestATableThatTakesTooMuchMemoryIsRefusedWithItsRoute(t *testing.T) {
	const each = ruleBytes + 2*partBytes + patternBytes + instructionBytes*2010
	_, err := Compile(greedyTable(5000))
	refused, ok := errors.AsType[*lateen.Error](err)
	if !ok || !errors.Is(err, lateen.ErrInvalidRoute) || len(refused.Fields) != 1 {
		t.Fatalf("the error is %v", err)
	}
	var route int
	for field := range refused.Fields {
		if n, err := fmt.Sscanf(field, "routes[%d].src", &route); n != 1 {
			t.Errorf("the field is %q: %v", field, err)
		}
	}
	if most := maxTable / each; route > most+most/20 || route < most-most/20 {
		t.Errorf("the error names route %d, want about %d", route, most)
	}
	// The number of routes of a large application, each with two parameters.
	large := &lateen.Manifest{Routes: make([]lateen.Route, 4000)}
	for i := range large.Routes {
		large.Routes[i] = lateen.Route{Src: fmt.Sprintf(`^(?:/(en|de|fr|nl-NL))?/part%d/([^/]+?)/list(?:/(.+?))?(?:/)?$`, i), Dest: "/part/[id]/list?id=$2&rest=$3"}
	}
	r, err := Compile(large)
	if err != nil {
		t.Fatal(err)
	}
	if r.Weight() <= 0 || r.Weight() > maxTable {
		t.Errorf("a table of 4,000 routes takes %d of %d bytes", r.Weight(), maxTable)
	}
}

// A template of parameters takes more memory than its text, and a class of
// characters more than its name.
func TestTemplatesAndClassesCount(t *testing.T) {
	m := &lateen.Manifest{}
	for range 2000 {
		m.Routes = append(m.Routes, lateen.Route{Src: "^/(.*)$", Headers: map[string]string{"x": strings.Repeat("$1", 16_000)}, Continue: true})
	}
	if _, err := Compile(m); !errors.Is(err, lateen.ErrInvalidRoute) {
		t.Errorf("templates of 32 million parts: %v", err)
	}
	m.Routes = nil
	var letters []rune
	for r := 'Ā'; r < 'ſ'; r += 2 {
		letters = append(letters, r)
	}
	for range 2000 {
		m.Routes = append(m.Routes, lateen.Route{Src: "^/" + strings.Repeat("["+string(letters)+"]", 130) + "$", CaseSensitive: true})
	}
	if _, err := Compile(m); !errors.Is(err, lateen.ErrInvalidRoute) {
		t.Errorf("260,000 classes of 64 letters: %v", err)
	}
}

func TestATableThatTakesTooLongToCompileIsRefusedWithItsRoute(t *testing.T) {
	var used time.Duration
	b := &budget{bytes: maxTable, cpu: maxCPU, clock: func() time.Duration { used += maxCPU / 20; return used }}
	_, err := compile(&lateen.Manifest{Routes: make20()}, b)
	refused, ok := errors.AsType[*lateen.Error](err)
	if !ok || refused.Fields["routes[20].src"] == "" {
		t.Errorf("the error is %v, want one of the route after 20 that took a twentieth of the time each", err)
	}
	if _, err := Prove(&lateen.Manifest{Routes: make20()}); err != nil {
		t.Error(err)
	}
}

func make20() []lateen.Route {
	routes := make([]lateen.Route, 40)
	for i := range routes {
		routes[i] = lateen.Route{Src: fmt.Sprintf("^/r%d$", i), Dest: "/"}
	}
	return routes
}

func TestTheConditionsOfPrerendersShareTheBoundOfTheTable(t *testing.T) {
	m := &lateen.Manifest{Prerenders: map[string]lateen.Prerender{}}
	for i := range 2000 {
		m.Prerenders[fmt.Sprintf("/p%d", i)] = lateen.Prerender{BypassFor: []lateen.HasField{
			{Type: "header", Key: "x", Value: &lateen.Condition{Re: "a{1000}b{1000}"}},
		}}
	}
	if _, err := Compile(m); !errors.Is(err, lateen.ErrInvalidRoute) {
		t.Errorf("conditions of 4 million instructions: %v", err)
	}
	m.Prerenders = map[string]lateen.Prerender{"/p": {BypassFor: []lateen.HasField{{Type: "header", Key: "x", Value: &lateen.Condition{Re: "("}}}}}
	if _, err := Prove(m); !errors.Is(err, lateen.ErrInvalidRoute) {
		t.Errorf("a condition that cannot be compiled is accepted at the deployment: %v", err)
	}
}
