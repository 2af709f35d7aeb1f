package engine

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// ByRuntime is the engine that leaves each function to the one for its runtime.
type ByRuntime struct {
	Engines map[string]Engine // by runtime
	Others  Engine            // for those that are not among them
}

// Start starts an instance by the engine of its runtime.
func (b ByRuntime) Start(ctx context.Context, spec lateen.FunctionSpec) (Instance, error) {
	return b.of(spec.Function.Runtime).Start(ctx, spec)
}

// Prepare prepares a function by the engine of its runtime.
func (b ByRuntime) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	return b.of(spec.Function.Runtime).Prepare(ctx, spec)
}

// Prepared asks the engine of a function's runtime.
func (b ByRuntime) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	return b.of(runtime).Prepared(key, runtime)
}

func (b ByRuntime) of(runtime string) Engine {
	if e, ok := b.Engines[runtime]; ok {
		return e
	}
	return b.Others
}
