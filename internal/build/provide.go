package build

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

// maxProvide is how long a deployment waits for its runtimes.
const maxProvide = time.Minute

// provide has the runtimes of functions fetched before the first request needs
// them. One that cannot be had is no reason to refuse the deployment, whose other
// parts are served: log tells of it. The error
// is that of ctx.
func (b *Builder) provide(ctx context.Context, functions map[string]lateen.Function, log func(string)) error {
	if b.Provide == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, maxProvide)
	defer cancel()
	one := map[string]lateen.Function{} // of each runtime
	for _, f := range functions {
		one[f.Runtime] = f
	}
	for _, runtime := range slices.Sorted(maps.Keys(one)) {
		if !buildoutput.Runs(runtime) { // as a notice of the output says
			continue
		}
		f := one[runtime]
		err := b.Provide(limited, &f)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.Log.WarnContext(ctx, "a runtime is not on this host", "runtime", runtime, "err", err)
			log(NoticePrefix + "functions with the runtime " + runtime + " cannot start yet: " + absence(limited, err))
		}
	}
	return nil
}

// absence says why a runtime is not there, and what to do about it.
func absence(limited context.Context, err error) string {
	if limited.Err() != nil {
		return "it was not fetched within " + maxProvide.String()
	}
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		return "something went wrong on the platform's side"
	}
	return strings.TrimSuffix(e.Message+"; "+e.Hint, "; ")
}
