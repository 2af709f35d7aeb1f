package local

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Provide sees to it that the runtime of a function is on this host: it fetches
// what is not.
func (e *Engine) Provide(ctx context.Context, f *lateen.Function) error {
	r, _, err := e.runtimeFor(f)
	if err != nil {
		return err
	}
	_, err = r.find(ctx)
	return err
}
