package prerender

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// maxFillHops is the largest hop count of a request that starts a cache fill. The
// requests of the fill's function have a hop count that is one higher, and those past
// [call.MaxHops] are refused: a cached page must not depend on the hop count of its
// first request.
const maxFillHops = call.MaxHops/2 - 1

// refresh refreshes the page in the background, unless a cache fill is in progress or
// failed recently.
func (r *request) refresh(spread cache.Propagation) {
	if r.Hops > maxFillHops {
		return
	}
	how, _ := r.fill(spread, nil)
	r.pages.o.Cache.Refresh(r.HTTP.Context(), r.key, r.withFailureLog(how))
}

// withFailureLog wraps how, a background refresh of a page, so that the log of the site gets
// the reason of a failure: no request waits for the refresh, and the old page stays.
func (r *request) withFailureLog(how cache.Fill) cache.Fill {
	fault, k, output, ask := r.pages.o.Fault, *r.Call, r.Decision.Output, how.Generate
	fail := func(why string) {
		fault(&k, fmt.Errorf("the page %s could not be refreshed, and its old version is served: %s", output, why))
	}
	how.Generate = func(ctx context.Context) (*cache.Response, error) {
		draft, err := ask(ctx)
		switch {
		case ctx.Err() != nil: // the platform is shutting down
		case err != nil:
			fail(err.Error())
		case draft.Reuse == cache.ReuseNone:
			fail(fmt.Sprintf("its function answered %d, with a response that must not be cached", draft.Entry.Status))
		case draft.Reuse == cache.ReuseWaiting:
			fail(fmt.Sprintf("its function answered %d", draft.Entry.Status))
		default:
			draft.Body = &reportingBody{draft.Body, func(err error) { fail("its function's response ended early: " + err.Error()) }}
		}
		return draft, err
	}
	return how
}

// reportingBody is a response's body that calls failed if it ends with an error.
type reportingBody struct {
	io.ReadCloser

	failed func(err error)
}

// Read implements [io.Reader].
func (b *reportingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed(err)
	}
	return n, err
}
