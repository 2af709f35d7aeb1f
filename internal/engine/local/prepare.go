package local

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

var _ engine.Engine = (*Engine)(nil)

// Provide downloads the runtime of a function if this host does not have it.
func (e *Engine) Provide(ctx context.Context, f *lateen.Function) error {
	r, _, err := e.runtimeFor(f)
	if err != nil {
		return err
	}
	_, err = r.Find(ctx)
	return err
}

// Prepare makes a code cache of a function; see [engine.Engine].
func (e *Engine) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	r, _, err := e.runtimeFor(&spec.Function)
	switch {
	case err != nil:
		return err
	case r.Compiles:
		return e.modules.Compile(ctx, r, spec, false)
	case r.Warm:
		return e.learner.Prepare(ctx, r, spec)
	default:
		return r.Blanks.Find(ctx) // only the agent of Node.js supports training runs
	}
}

// Prepared describes the stored preparations of a function; see [engine.Engine].
func (e *Engine) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	r, _, err := e.runtimeFor(&lateen.Function{Runtime: runtime})
	if err != nil || !r.Warm {
		return nil
	}
	return e.learner.Prepared(key)
}
