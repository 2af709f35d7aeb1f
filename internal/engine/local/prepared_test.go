package local

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestAFunctionTellsWhatItIsPreparedWith(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	tells := func(spec lateen.FunctionSpec, archive, template bool, noArchive, noTemplate string) {
		t.Helper()
		p := s.Prepared(spec.Key, spec.Function.Runtime)
		if p == nil {
			t.Fatal("nothing is told")
		}
		if p.Archive != archive || p.Template != template || !strings.Contains(p.NoArchive, noArchive) || !strings.Contains(p.NoTemplate, noTemplate) ||
			p.Archive != (p.NoArchive == "") || p.Template != (p.NoTemplate == "") {
			t.Errorf("of %s it tells %+v", spec.Key, p)
		}
	}
	spec := s.function("tells", "nodejs24.x", "module.exports = (req, res) => res.end('{}');\n")
	tells(spec, false, false, "not prepared yet", "no start without one")
	if s.known.all[spec.Key] != nil {
		t.Error("to ask makes it known")
	}
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tells(spec, true, false, "", "no start without one")
	s.known.with(spec.Key, func(a *acquaintance) { a.busy, a.cost = true, templateFrom })
	tells(spec, true, false, "", "being prepared")
	s.known.with(spec.Key, func(a *acquaintance) { a.busy = false })
	tells(spec, true, false, "", "15ms")
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	tells(spec, true, true, "", "")

	listens := s.function("listens", "nodejs24.x", "require('node:net').createServer().listen('/tmp/own');\nmodule.exports = (req, res) => res.end('{}');\n")
	for range 2 {
		if s.mold(listens) == nil {
			t.Error("it is forked")
		}
	}
	tells(listens, false, false, "", "it listens on a socket")

	throws := s.function("throws", "nodejs24.x", "throw new Error('too bad');\n")
	if s.Prepare(t.Context(), throws) == nil {
		t.Error("it is prepared")
	}
	tells(throws, false, false, "too bad", "too bad")

	for _, runtime := range []string{"python3.12", "executable", "wasi", ""} {
		if p := s.Prepared(spec.Key, runtime); p != nil {
			t.Errorf("%q has %+v", runtime, p)
		}
	}
}

func TestReasonsAreALineWithoutWhatIsTheHosts(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"": nil, "it does not answer": fmt.Errorf("warm: %w", errHangs), "it listens": fmt.Errorf("make: %w", refusal("it listens")),
		"the platform's log says why": fmt.Errorf("open /var/lib/lateen/trees: %w", errors.ErrUnsupported),
		"it threw":                    fmt.Errorf("load /var/lib: %w", lateen.ErrFunctionFailed.With("it threw\n    at /var/task/x.js")),
		strings.Repeat("ä", 150):      refusal(strings.Repeat("ä", 150) + "…"),
		strings.Repeat("x", 299):      refusal(strings.Repeat("x", 299) + "ä"),
	} {
		if got := reason(err); got != want {
			t.Errorf("of %v it tells %q, want %q", err, got, want)
		}
	}
}
