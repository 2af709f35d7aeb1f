package local

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

func TestPreparedDescribesThePreparations(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	tells := func(spec lateen.FunctionSpec, archive, template bool, noArchive, noTemplate string) {
		t.Helper()
		p := s.Prepared(spec.Key, spec.Function.Runtime)
		if p == nil {
			t.Fatal("no preparation")
		}
		if p.Archive != archive || p.Template != template || !strings.Contains(p.NoArchive, noArchive) || !strings.Contains(p.NoTemplate, noTemplate) ||
			p.Archive != (p.NoArchive == "") || p.Template != (p.NoTemplate == "") {
			t.Errorf("%s: preparation %+v", spec.Key, p)
		}
	}
	spec := s.function("tells", "nodejs24.x", "module.exports = (req, res) => res.end('{}');\n")
	tells(spec, false, false, "not prepared yet", "no start without a template")
	if s.profiles.all[spec.Key] != nil {
		t.Error("Prepared created an entry")
	}
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tells(spec, true, false, "", "no start without a template")
	s.profiles.with(spec.Key, func(a *functionProfile) { a.preparing, a.cost = true, template.MinCost })
	tells(spec, true, false, "", "in progress")
	s.profiles.with(spec.Key, func(a *functionProfile) { a.preparing = false })
	tells(spec, true, false, "", "15ms")
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	tells(spec, true, true, "", "")

	listens := s.function("listens", "nodejs24.x", "require('node:net').createServer().listen('/tmp/own');\nmodule.exports = (req, res) => res.end('{}');\n")
	for range 2 {
		if s.addTemplate(listens) == nil {
			t.Error("a function that listens got a template")
		}
	}
	tells(listens, false, false, "", "it listens on a socket")

	throws := s.function("throws", "nodejs24.x", "throw new Error('too bad');\n")
	if s.Prepare(t.Context(), throws) == nil {
		t.Error("the function is prepared")
	}
	tells(throws, false, false, "too bad", "too bad")

	for _, runtime := range []string{"python3.12", "executable", "wasi", ""} {
		if p := s.Prepared(spec.Key, runtime); p != nil {
			t.Errorf("%q: preparation %+v", runtime, p)
		}
	}
}

func TestReasonsHaveOneLineWithoutErrorsOfTheHost(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"": nil, "it does not answer": fmt.Errorf("warm: %w", instance.ErrHangs), "it listens": fmt.Errorf("make: %w", process.RefusalError("it listens")),
		"see the platform's log": fmt.Errorf("open /var/lib/lateen/trees: %w", errors.ErrUnsupported),
		"it threw":               fmt.Errorf("load /var/lib: %w", lateen.ErrFunctionFailed.With("it threw\n    at /var/task/x.js")),
		strings.Repeat("ä", 150): process.RefusalError(strings.Repeat("ä", 150) + "…"),
		strings.Repeat("x", 299): process.RefusalError(strings.Repeat("x", 299) + "ä"),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: reason %q, want %q", err, got, want)
		}
	}
}
