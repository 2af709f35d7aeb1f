package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// tries bounds how often a request is offered to instances that turn out to be
// gone: one that idled out in the same moment, one that died, one more.
const tries = 3

// Invoke sends req to an instance of spec, started if need be, and returns its
// response as soon as the header is there. The caller closes the body; until
// then the invocation counts as under way. Where the time went is told in inv;
// what it used only once the body is closed, or Invoke failed.
//
// Errors: [lateen.ErrFunctionThrottled] when too many wait,
// [lateen.ErrFunctionTimeout] past the function's maxDuration (a body cut off
// by it fails with the same), [lateen.ErrFunctionStart] when the platform
// cannot start an instance, those of [engine.Instance], and the context's cause.
func (f *Fleet) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	asked := time.Now()
	inv.Function = spec.Name
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = io.NopCloser(req.Body) // it outlives an attempt that was not taken
	}
	var cancel context.CancelFunc
	for try := range tries {
		p, g, w, err := f.ask(ctx, &spec, asked, try == 0)
		if err != nil {
			return nil, end(cancel, err)
		}
		if cancel == nil {
			ctx, cancel = context.WithTimeoutCause(ctx, p.duration, p.overdue)
			req = req.WithContext(ctx)
		}
		if w != nil {
			if g, err = f.wait(ctx, p, w); err != nil {
				return nil, end(cancel, err)
			}
		}
		resp, err := f.send(ctx, g, req, inv, asked)
		if err == nil {
			resp.Body.(*leasedBody).cancel = cancel //nolint:errcheck,forcetypeassert // send's is
			return resp, nil
		}
		if !errors.Is(err, engine.ErrNotTaken) {
			return nil, end(cancel, err)
		}
		inv.Retried = true
	}
	return nil, end(cancel, lateen.ErrFunctionNoResponse.With("%d instances of %s ended before they took the request", tries, spec.Name))
}

// end frees what belongs to the context of an invocation that failed.
func end(cancel context.CancelFunc, err error) error {
	if cancel != nil {
		cancel()
	}
	return err
}

// send makes the round trip in a place that was granted. Its error is
// [engine.ErrNotTaken] where the request may go elsewhere.
func (f *Fleet) send(ctx context.Context, g granted, req *http.Request, inv *lateen.Invocation, asked time.Time) (*http.Response, error) {
	l := g.lease
	sent := time.Now()
	l.note(inv, sent.Sub(asked))
	if l.wake {
		if err := f.wake(l.member); err != nil {
			f.o.Log.Warn("thaw failed, taking another instance", "function", l.member.pool.spec.Name, "instance_id", inv.Instance, "err", err)
			f.release(&l, inv, verdict{spoiled: true})
			return nil, engine.ErrNotTaken
		}
		woken := time.Now()
		inv.Claim, sent = woken.Sub(sent), woken
	}
	resp, err := l.member.instance.RoundTrip(req)
	inv.Handler = time.Since(sent)
	if err == nil {
		v := verdict{answered: inv.Handler, waited: sent.Sub(asked), start: inv.Start, streams: resp.StatusCode == http.StatusSwitchingProtocols}
		resp.Body = &leasedBody{ReadCloser: resp.Body, ctx: ctx, fleet: f, lease: l, inv: inv, verdict: v}
		return resp, nil
	}
	notTaken := errors.Is(err, engine.ErrNotTaken)
	f.release(&l, inv, verdict{spoiled: notTaken || overdue(ctx)})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// duration turns a function's maxDuration into the time an invocation has.
func (f *Fleet) duration(seconds int) time.Duration {
	switch {
	case seconds < 0:
		return f.o.MaxDuration
	case seconds == 0:
		return min(f.o.Duration, f.o.MaxDuration)
	default:
		return min(time.Duration(seconds)*time.Second, f.o.MaxDuration)
	}
}

// overdue reports whether ctx ended because the function took too long.
func overdue(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), lateen.ErrFunctionTimeout)
}

// leasedBody is a response's body that ends the lease when it is closed.
type leasedBody struct {
	io.ReadCloser

	ctx     context.Context //nolint:containedctx // the body lives exactly as long as the invocation
	cancel  context.CancelFunc
	fleet   *Fleet
	lease   lease
	inv     *lateen.Invocation
	verdict verdict
	closed  atomic.Bool
}

// Read names a function that took too long rather than the cut connection.
func (b *leasedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Write sends to an instance that switched protocols.
func (b *leasedBody) Write(p []byte) (int, error) {
	w, ok := b.ReadCloser.(io.Writer)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return w.Write(p)
}

// Close ends the lease, however often it is called.
func (b *leasedBody) Close() error {
	err := b.ReadCloser.Close()
	if b.closed.CompareAndSwap(false, true) {
		b.verdict.spoiled = overdue(b.ctx)
		b.fleet.release(&b.lease, b.inv, b.verdict)
		b.cancel()
	}
	return err
}
