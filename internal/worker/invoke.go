package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/lateen-dev/lateen"
)

// Invoke implements [Backend]. Errors besides those of the backend: [ErrUnreachable],
// [ErrStopping], [ErrIncompatible] and [ErrLost]. A request that no function got, since
// the worker stops or has another protocol, waits for the next process of the worker.
//
// The end of ctx cancels the invocation, whose record then arrives before Invoke, or
// Close of the body, returns; a worker that does not answer for [endTimeout] loses
// the record.
func (c *Client) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	inv.Function = spec.Name
	before := *inv
	for {
		next := c.successor.announced()
		resp, err := c.invoke(ctx, next, &spec, req, inv)
		if !unreceived(err) || !c.successor.await(ctx, next) {
			return resp, err
		}
		*inv = before
	}
}

// invoke invokes a function on the present process of the worker; next is closed when
// another one is met.
func (c *Client) invoke(ctx context.Context, next <-chan struct{}, spec *lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	i := &invocation{client: c, ctx: ctx, next: next, id: rand.Text(), inv: inv}
	head, err := newCall(ctx, i.id, spec, req, inv).encode()
	if err != nil {
		return nil, err
	}
	i.out = newOutbound(head, req)
	i.own, i.cut = context.WithCancel(context.WithoutCancel(ctx))
	i.stop = context.AfterFunc(ctx, i.cancel)
	resp, err := i.start()
	if err != nil {
		i.finish()
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// invocation is an invocation in flight.
type invocation struct {
	client *Client
	ctx    context.Context //nolint:containedctx // of the request
	next   <-chan struct{}
	own    context.Context //nolint:containedctx // of the stream, which outlives ctx until the record has arrived
	cut    context.CancelFunc
	stop   func() bool // ends the wait for the end of ctx
	id     string
	inv    *lateen.Invocation
	out    *outbound
	once   sync.Once // cancels
}

// cancel asks the worker to end the invocation, and cuts the stream off if the
// worker does not.
func (i *invocation) cancel() {
	i.once.Do(func() {
		ctx, stop := context.WithTimeout(i.own, endTimeout)
		defer stop()
		context.AfterFunc(ctx, i.sever)
		cause := context.Cause(i.ctx)
		if cause == nil {
			cause = context.Canceled
		}
		if err := i.client.call(ctx, pathCancel, cancelRequest{i.id, faultOf(cause)}, nil); err != nil {
			i.sever()
		}
		<-ctx.Done() // at the end of the stream
	})
}

// sever cuts a stream off whose worker does not end it.
func (i *invocation) sever() {
	i.cut()
	i.out.sever()
}

// finish ends the stream.
func (i *invocation) finish() {
	i.stop()
	i.out.end()
	i.cut()
}

// start sends the request and waits for the head of the response.
func (i *invocation) start() (*http.Response, error) {
	req, err := newRequest(i.own, pathInvoke, i.out.stream())
	if err != nil {
		return nil, err
	}
	req.ContentLength = -1
	req.GetBody = func() (io.ReadCloser, error) { return i.out.stream(), nil } // for a stream that the worker has refused unread
	stream, err := i.client.roundTrip(req)
	if err != nil {
		return nil, i.broken(err)
	}
	b := &body{invocation: i, stream: stream.Body, in: frames{r: stream.Body}}
	if stream.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(stream.Body, 1024)) // for the message
		i.finish()
		return nil, lateen.ErrInternal.Because(fmt.Errorf("the worker refuses an invocation: %s: %s", stream.Status, bytes.TrimSpace(text)))
	}
	resp, err := b.response()
	if err != nil {
		i.finish() // before Close: it ends the request's part of the stream
		_ = b.stream.Close()
		if errors.Is(err, ErrStopping) {
			i.client.successor.expect(i.next, stream.Header.Get(processField))
		}
		return nil, err
	}
	return resp, nil
}

// broken returns the error of a stream that broke.
func (i *invocation) broken(err error) error {
	switch {
	case i.ctx.Err() != nil:
		return context.Cause(i.ctx)
	case errors.Is(err, ErrIncompatible):
		return err
	case i.out.sent():
		return ErrLost.Because(err)
	default:
		return ErrUnreachable.Because(err)
	}
}

// failed returns the error of an invocation that ended with the error of its backend.
func (i *invocation) failed(err error) error {
	if i.ctx.Err() != nil {
		return context.Cause(i.ctx)
	}
	if failed := i.out.failure(); failed != nil {
		return fmt.Errorf("read the request's body: %w", failed)
	}
	return err
}
