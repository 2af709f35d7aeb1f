package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	endTimeout     = 2 * time.Second // to wait for the reason of a broken connection
	maxFailureText = 64 << 10
	blockedAfter   = 2 * time.Second // a process whose agent does not answer for so long hangs
)

// explain turns the failure of an exchange into the error of the request.
func (c *call) explain(req *http.Request, err error) error {
	i, ctx := c.i, req.Context()
	var body *upstream.BodyError
	switch {
	case ctx.Err() != nil:
		if errors.Is(err, upstream.ErrUnsent) {
			c.forget() // the process sends no end of this request
		} else if errors.Is(context.Cause(ctx), lateen.ErrFunctionTimeout) && i.o.Operations {
			i.alive.start(ctx, i)
		}
		return context.Cause(ctx)
	case errors.As(err, &body):
		return err
	case errors.Is(err, lateen.ErrInvalid):
		c.forget()
		return err
	case errors.Is(err, upstream.ErrUnsent):
		c.forget()
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, guest.ErrRefused) {
			i.Terminate() // the process no longer listens; if it is exiting, end preserves its exit status
		}
		return fmt.Errorf("%w: %w", engine.ErrNotTaken, err)
	}
	if i.Upstream.Ended == nil && untouched(req, err) {
		c.forget()
		return fmt.Errorf("%w: %w", engine.ErrNotTaken, err)
	}
	c.awaitEnd(ctx)
	switch {
	case c.over() && c.fault != nil:
		return failure(c.fault.Reason, c.fault.Message)
	case i.ended():
		return c.log(lateen.ErrFunctionFailed.With("the function's process ended before it answered: %s", i.ExitError()))
	default:
		return c.log(errHungUp).Because(err)
	}
}

var errHungUp = lateen.ErrFunctionNoResponse.With("the function closed the connection without a response")

// log logs, in the name of the request, why the process gave no response or an
// incomplete one; the process itself could not.
func (c *call) log(why *lateen.Error) *lateen.Error {
	c.i.Output.Log(lateen.LogLine{Request: c.request, Level: lateen.LevelError, Source: "platform", Text: why.Message})
	return why
}

// aliveCheck is the check whether the process of an instance hangs.
type aliveCheck struct{ running atomic.Bool }

// start starts a check of i, unless one is running.
func (a *aliveCheck) start(ctx context.Context, i *Instance) {
	if !a.running.CompareAndSwap(false, true) {
		return
	}
	i.group.Host.Go(func() {
		defer a.running.Store(false)
		killIfBlocked(context.WithoutCancel(ctx), i)
	})
}

// killIfBlocked kills the process of i if its agent does not answer either: a request
// that takes too long is no reason to kill it, but a blocked event loop is.
func killIfBlocked(ctx context.Context, i *Instance) {
	ctx, cancel := context.WithTimeout(ctx, blockedAfter)
	defer cancel()
	resp, err := i.Operate(ctx, guest.OperationPing)
	if err == nil {
		resp.Body.Close()
		return
	}
	if ctx.Err() == nil || i.Gone() {
		return // the process has ended, or is ending
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cause != nil {
		return // another failure has killed it
	}
	what, why := "the function blocks its event loop", "its event loop was blocked past the duration limit of a request"
	if i.o.Spec.Function.Runtime == wasi.Runtime {
		what, why = "the module does not end with its request", "its module ran past the duration limit of a request"
	}
	i.LogPlatform(lateen.LevelError, fmt.Sprintf("%s: a request exceeded its duration limit, and the process answered nothing for %v", what, blockedAfter))
	i.killLocked(errors.New(why))
}

// explainCut turns a broken response into the error of the request.
func (c *call) explainCut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.awaitEnd(ctx)
	switch {
	case c.over() && c.fault != nil:
		return failure(c.fault.Reason, c.fault.Message)
	case c.i.ended():
		return c.log(lateen.ErrFunctionFailed.With("the function's process ended in the middle of its response: %s", c.i.ExitError()))
	default:
		return lateen.ErrFunctionFailed.With("the function broke off its response").Because(err)
	}
}

// awaitEnd waits, after the connection of a call broke, for the process's report of
// the call's end, which arrives on the control connection.
func (c *call) awaitEnd(ctx context.Context) {
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-c.i.Exited:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// forget closes a call that never reached the process.
func (c *call) forget() {
	i := c.i
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls.end(c.id, nil)
	i.endIfIdleLocked()
}

// untouched reports whether a connection broke before the process read any byte of
// the request. The kernel resets a connection if the peer closes it with unread
// data. A request with a body may have been read in part. A program behind TCP may
// also reset a connection after it read the request.
func untouched(req *http.Request, err error) bool {
	return errors.Is(err, syscall.ECONNRESET) && !upstream.HasBody(req)
}

// failureIn reads the agent's error message from a response.
func failureIn(resp *http.Response, reason string) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFailureText))
	resp.Body.Close()
	if err != nil {
		return lateen.ErrFunctionFailed.Because(err)
	}
	return failure(reason, string(text))
}

// failure returns the error of a request that failed for a reason of the agent.
func failure(reason, message string) error {
	if reason == guest.FaultNoResponse {
		return lateen.ErrFunctionNoResponse.With("the function ended without a response: %s", message)
	}
	return lateen.ErrFunctionFailed.With("the function failed: %s", message)
}

// ended reports whether the process has ended or the engine has killed it: on a
// busy host a killed process may take a while to end.
func (i *Instance) ended() bool {
	if i.Gone() {
		return true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cause != nil
}

// ExitError returns the reason for the end of the process; see ended.
func (i *Instance) ExitError() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.exitErrorLocked()
}

func (i *Instance) exitErrorLocked() error {
	switch {
	case i.cause != nil:
		return i.cause
	case i.State.OutOfMemory, i.State.Signal != 0 && strings.Contains(i.Output.LastOutput(), "heap out of memory"):
		return i.memoryExceeded()
	default:
		return errors.New(i.State.String())
	}
}

func (i *Instance) memoryExceeded() error {
	return fmt.Errorf("it used more than %d MiB of memory", i.o.Memory>>20)
}
