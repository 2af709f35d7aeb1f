package local

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Prepare has nothing to keep.
func (e *Engine) Prepare(context.Context, lateen.FunctionSpec) error { return nil }
