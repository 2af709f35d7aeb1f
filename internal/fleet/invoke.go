package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// tries bounds how often a request is offered to instances that turn out to be
// gone: one that idled out in the same moment, one that died, one more.
const tries = 3

// Invoke sends req to an instance of spec, started if need be, and returns its
// response as soon as the header is there. The caller closes the body; until
// then the invocation counts as under way. The instance that inv names is taken where it
// has room. Where the time went is told in inv; what it used only once the body is
// closed, or Invoke failed.
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
	wanted := inv.Instance
	seat, err := f.ask(ctx, &spec, asked, wanted, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, seat.pool.duration, seat.pool.overdue)
	c := &call{ctx: ctx, cancel: cancel, req: req.WithContext(ctx), inv: inv, asked: asked}
	resp, err := f.offer(c, seat)
	for again := 1; again < tries && errors.Is(err, engine.ErrNotTaken); again++ {
		inv.Retried = true
		if seat, err = f.ask(ctx, &spec, time.Now(), wanted, false); err == nil {
			resp, err = f.offer(c, seat)
		}
	}
	if errors.Is(err, engine.ErrNotTaken) {
		err = lateen.ErrFunctionNoResponse.With("%d instances of %s ended before they took the request", tries, spec.Name)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return resp, nil
}

// call is an invocation under way.
type call struct {
	ctx    context.Context //nolint:containedctx // the call is the invocation
	cancel context.CancelFunc
	req    *http.Request
	inv    *lateen.Invocation
	asked  time.Time
}

// offer waits for a place, if there is none yet, and makes the round trip there.
// Its error is [engine.ErrNotTaken] where the request may go elsewhere.
func (f *Fleet) offer(c *call, s seat) (*http.Response, error) {
	l := s.lease
	if s.waiter != nil {
		var err error
		if l, err = f.wait(c.ctx, s.pool, s.waiter); err != nil {
			f.tell(c, &s.pool.spec, err)
			return nil, err
		}
	}
	sent := time.Now()
	l.note(c.inv, sent.Sub(c.asked))
	if l.wake {
		if err := f.wake(l.member); err != nil {
			f.o.Log.Warn("thaw failed, taking another instance", "function", s.pool.spec.Name, "instance_id", c.inv.Instance, "err", err)
			f.release(&l, c.inv, verdict{spoiled: true})
			return nil, engine.ErrNotTaken
		}
		woken := time.Now()
		c.inv.Claim, sent = woken.Sub(sent), woken
	}
	resp, err := l.member.instance.RoundTrip(c.req)
	c.inv.Handler = time.Since(sent)
	if err != nil {
		f.release(&l, c.inv, verdict{spoiled: errors.Is(err, engine.ErrNotTaken) || overdue(c.ctx)})
		if c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
			f.tell(c, &s.pool.spec, err)
		}
		return nil, err
	}
	resp.Body = &leasedBody{ReadCloser: resp.Body, call: c, fleet: f, lease: l, verdict: verdict{
		answered: c.inv.Handler, waited: sent.Sub(c.asked), start: c.inv.Start, streams: resp.StatusCode == http.StatusSwitchingProtocols,
	}}
	return resp, nil
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

// tell writes into the log of a request why it got no answer, or half of one,
// where its function could not say so: it did not start, or not answer in time. A
// fault of the platform is not told in detail.
func (f *Fleet) tell(c *call, spec *lateen.FunctionSpec, why error) {
	text := lateen.ErrFunctionStart.Message
	switch {
	case f.o.Lines == nil, c.ctx.Err() != nil && !overdue(c.ctx): // or the client has gone
		return
	case lateen.CodeOf(why) == lateen.Faulted:
		text = why.Error()
	case !errors.Is(why, lateen.ErrFunctionStart):
		return // the request's answer says it all
	}
	f.o.Lines.Log(lateen.LogLine{
		Time: lateen.MillisOf(time.Now()), Request: lateen.RequestIDFrom(c.ctx), Project: spec.Project, Deployment: spec.Deployment,
		Function: spec.Name, Instance: c.inv.Instance, Level: lateen.LevelError, Source: "platform", Text: text,
	})
}

// leasedBody is a response's body that ends the lease when it is closed.
type leasedBody struct {
	io.ReadCloser

	call    *call
	fleet   *Fleet
	lease   lease
	verdict verdict
	end     sync.Once
}

// Read names a function that took too long rather than the cut connection.
func (b *leasedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.call.ctx.Err() != nil {
		err = context.Cause(b.call.ctx)
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

// Close ends the lease, however often it is called: whoever has called it knows
// that all is said of the invocation.
func (b *leasedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end.Do(func() {
		if b.verdict.spoiled = overdue(b.call.ctx); b.verdict.spoiled {
			b.fleet.tell(b.call, &b.lease.member.pool.spec, context.Cause(b.call.ctx))
		}
		b.fleet.release(&b.lease, b.call.inv, b.verdict)
		b.call.cancel()
	})
	return err
}
