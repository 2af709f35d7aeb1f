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
	return b.of(spec).Start(ctx, spec)
}

// Prepare prepares a function by the engine of its runtime.
func (b ByRuntime) Prepare(ctx context.Context, spec lateen.FunctionSpec) error {
	return b.of(spec).Prepare(ctx, spec)
}

func (b ByRuntime) of(spec lateen.FunctionSpec) Engine {
	if e, ok := b.Engines[spec.Function.Runtime]; ok {
		return e
	}
	return b.Others
}
