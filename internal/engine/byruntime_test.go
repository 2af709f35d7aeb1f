package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// named is an engine that starts nothing and says which it is.
type named struct{ err error }

func (n named) Start(context.Context, lateen.FunctionSpec) (engine.Instance, error) {
	return nil, n.err
}

func (n named) Prepare(context.Context, lateen.FunctionSpec) error { return n.err }

func (n named) Prepared(lateen.FunctionKey, string) *lateen.Preparation {
	return &lateen.Preparation{NoArchive: n.err.Error()}
}

func TestFunctionsGoToTheEngineOfTheirRuntime(t *testing.T) {
	modules, others := errors.New("modules"), errors.New("others")
	e := engine.ByRuntime{Engines: map[string]engine.Engine{"wasi": named{modules}}, Others: named{others}}
	for runtime, want := range map[string]error{"wasi": modules, "nodejs24.x": others, "": others} {
		spec := lateen.FunctionSpec{Function: lateen.Function{Runtime: runtime}}
		if _, err := e.Start(t.Context(), spec); !errors.Is(err, want) {
			t.Errorf("%q is started by %v, want %v", runtime, err, want)
		}
		if err := e.Prepare(t.Context(), spec); !errors.Is(err, want) {
			t.Errorf("%q is prepared by %v, want %v", runtime, err, want)
		}
		if p := e.Prepared("", runtime); p.NoArchive != want.Error() {
			t.Errorf("of %q %s tells, want %v", runtime, p.NoArchive, want)
		}
	}
}
