package assemble

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

// maxProvide is the time limit of a deployment's wait for its runtimes.
const maxProvide = time.Minute

// provide fetches the runtimes of functions before the first request needs them. A
// missing runtime does not fail the deployment, whose other parts can be served;
// provide reports it in log. The error is the cause of the end of ctx.
func (b *Builder) provide(ctx context.Context, functions map[string]lateen.Function, log func(string)) (err error) {
	if b.Provide == nil {
		return nil
	}
	ctx, end := lateen.StartSpan(ctx, "provide runtimes")
	defer end(&err)
	limited, cancel := context.WithTimeout(ctx, maxProvide)
	defer cancel()
	one := map[string]lateen.Function{} // one function of each runtime
	for _, f := range functions {
		one[f.Runtime] = f
	}
	for _, runtime := range slices.Sorted(maps.Keys(one)) {
		if !buildoutput.Runs(runtime) { // a notice of the output reports it
			continue
		}
		f := one[runtime]
		err := b.Provide(limited, &f)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.Log.WarnContext(ctx, "a runtime is not available", "runtime", runtime, "err", err)
			log(NoticePrefix + "functions with the runtime " + runtime + " cannot start yet: " + absence(limited, err))
		}
	}
	return nil
}

// absence returns the reason for a missing runtime, with a hint.
func absence(limited context.Context, err error) string {
	if limited.Err() != nil {
		return "it was not fetched within " + maxProvide.String()
	}
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		return "internal error of the platform"
	}
	return strings.TrimSuffix(e.Message+"; "+e.Hint, "; ")
}
