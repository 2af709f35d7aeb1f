package local

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Provide downloads the runtime of a function if this host does not have it.
func (e *Engine) Provide(ctx context.Context, f *lateen.Function) error {
	r, _, err := e.runtimeFor(f)
	if err != nil {
		return err
	}
	_, err = r.Find(ctx)
	return err
}
