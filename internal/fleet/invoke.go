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

// tries is the maximum number of instances that a request is sent to if they turn
// out to have ended: one that became idle and stopped at the same moment, one that
// crashed, and one more.
const tries = 3

// Invoke sends req to an instance of spec, starting one if necessary, and returns
// the response as soon as its header has arrived. The caller closes the body; until
// then the invocation is in flight. Invoke prefers the instance that inv names if it
// has a free place. It records in inv the timings and, when the body is closed or
// Invoke fails, the resources that were used.
//
// Errors: [lateen.ErrFunctionThrottled] when too many requests wait,
// [lateen.ErrFunctionTimeout] past the function's maxDuration (a body cut off by it
// fails with the same), [lateen.ErrFunctionStart] when the platform cannot start an
// instance, those of [engine.Instance], and the context's cause.
func (f *Fleet) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	asked := time.Now()
	inv.Function = spec.Name
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = io.NopCloser(req.Body) // the body stays open for a second attempt
	}
	wanted := inv.Instance
	ticket, err := f.ask(ctx, &spec, asked, wanted, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ticket.revision.duration, ticket.revision.overdue)
	c := &call{ctx: ctx, cancel: cancel, req: req.WithContext(ctx), inv: inv, asked: asked}
	resp, err := f.offer(c, ticket)
	for again := 1; again < tries && errors.Is(err, engine.ErrNotTaken); again++ {
		inv.Retried = true
		if ticket, err = f.ask(ctx, &spec, time.Now(), wanted, false); err == nil {
			resp, err = f.offer(c, ticket)
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

// call is an invocation in flight.
type call struct {
	ctx    context.Context //nolint:containedctx // the call is the invocation
	cancel context.CancelFunc
	req    *http.Request
	inv    *lateen.Invocation
	asked  time.Time
}

// offer waits for a place if s does not have one, and sends the request to its
// instance. The error is [engine.ErrNotTaken] if another instance may take the
// request.
func (f *Fleet) offer(c *call, t ticket) (*http.Response, error) {
	l := t.lease
	if t.waiter != nil {
		var err error
		if l, err = f.wait(c.ctx, t.revision, t.waiter); err != nil {
			c.logFailure(f.o.Lines, &t.revision.spec, err)
			return nil, err
		}
	}
	sent := time.Now()
	l.note(c.inv, sent.Sub(c.asked))
	if l.thaw {
		if err := f.thaw(l.instance); err != nil {
			f.o.Log.Warn("thaw failed, taking another instance", "function", t.revision.spec.Name, "instance_id", c.inv.Instance, "err", err)
			f.release(&l, c.inv, outcome{unusable: true})
			return nil, engine.ErrNotTaken
		}
		woken := time.Now()
		c.inv.Claim, sent = woken.Sub(sent), woken
	}
	resp, err := l.instance.process.RoundTrip(c.req)
	c.inv.Handler = time.Since(sent)
	if err != nil {
		f.release(&l, c.inv, outcome{unusable: errors.Is(err, engine.ErrNotTaken) || isOverdue(c.ctx)})
		if c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
			c.logFailure(f.o.Lines, &t.revision.spec, err)
		}
		return nil, err
	}
	resp.Body = &leasedBody{ReadCloser: resp.Body, call: c, fleet: f, lease: l, outcome: outcome{
		answered: c.inv.Handler, waited: sent.Sub(c.asked), start: c.inv.Start, streams: resp.StatusCode == http.StatusSwitchingProtocols,
	}}
	return resp, nil
}

// isOverdue reports whether ctx ended because the function took too long.
func isOverdue(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), lateen.ErrFunctionTimeout)
}

// logFailure writes a line into the log of a request that got no response, or only
// part of one, if its function could not log the reason: it did not start or did not
// respond in time. The line omits the details of an error of the platform.
func (c *call) logFailure(lines engine.LogSink, spec *lateen.FunctionSpec, why error) {
	text := lateen.ErrFunctionStart.Message
	switch {
	case lines == nil, c.ctx.Err() != nil && !isOverdue(c.ctx): // the second case: the client has gone
		return
	case lateen.CodeOf(why) == lateen.Faulted:
		text = why.Error()
	case !errors.Is(why, lateen.ErrFunctionStart):
		return // the error response has the whole reason
	}
	lines.Log(lateen.LogLine{
		Time: lateen.MillisOf(time.Now()), Request: lateen.RequestIDFrom(c.ctx), Project: spec.Project, Deployment: spec.Deployment,
		Function: spec.Name, Instance: c.inv.Instance, Level: lateen.LevelError, Source: "platform", Text: text,
	})
}

// leasedBody is a response body that ends the lease when it is closed.
type leasedBody struct {
	io.ReadCloser

	call    *call
	fleet   *Fleet
	lease   lease
	outcome outcome
	end     sync.Once
}

// Read replaces the error of a connection that was cut off by a timeout with the
// timeout.
func (b *leasedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.call.ctx.Err() != nil {
		err = context.Cause(b.call.ctx)
	}
	return n, err
}

// Write sends data to an instance that switched protocols.
func (b *leasedBody) Write(p []byte) (int, error) {
	w, ok := b.ReadCloser.(io.Writer)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return w.Write(p)
}

// Close ends the lease; further calls do nothing. When any call returns, the
// invocation's record is complete.
func (b *leasedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end.Do(func() {
		if b.outcome.unusable = isOverdue(b.call.ctx); b.outcome.unusable {
			b.call.logFailure(b.fleet.o.Lines, &b.lease.instance.revision.spec, context.Cause(b.call.ctx))
		}
		b.fleet.release(&b.lease, b.call.inv, b.outcome)
		b.call.cancel()
	})
	return err
}
