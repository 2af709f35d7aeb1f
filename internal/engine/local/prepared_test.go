package local

import (
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
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
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tells(spec, true, false, "", "no start without a template")
	s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing, a.Cost = true, template.MinCost })
	tells(spec, true, false, "", "in progress")
	s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = false })
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
