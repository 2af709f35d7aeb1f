package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	settleTimeout  = 2 * time.Second // to learn why a connection broke
	maxFailureText = 64 << 10
	blockedAfter   = 2 * time.Second // without an answer of its agent, a process hangs
)

// explain turns the failure of an exchange into what it means for the request.
func (i *instance) explain(req *http.Request, c *call, err error) error {
	ctx := req.Context()
	var body *upstream.BodyError
	switch {
	case ctx.Err() != nil:
		if errors.Is(err, upstream.ErrUnsent) {
			i.forget(c) // the process will say nothing about it
		} else if errors.Is(context.Cause(ctx), lateen.ErrFunctionTimeout) && i.answers {
			i.doubt(ctx)
		}
		return context.Cause(ctx)
	case errors.As(err, &body):
		return err
	case errors.Is(err, lateen.ErrInvalid):
		i.forget(c)
		return err
	case errors.Is(err, upstream.ErrUnsent):
		i.forget(c)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, guest.ErrRefused) {
			i.end() // it listens no more; if it is exiting, its status is not lost
		}
		return fmt.Errorf("%w: %w", engine.ErrNotTaken, err)
	}
	if i.upstream.Ended == nil && untouched(req, err) {
		i.forget(c)
		return fmt.Errorf("%w: %w", engine.ErrNotTaken, err)
	}
	i.settle(ctx, c)
	switch {
	case c.over() && c.fault != nil:
		return failure(c.fault.Reason, c.fault.Message)
	case i.doomed():
		return i.tell(c, lateen.ErrFunctionFailed.With("the function's process ended before it answered: %s", i.death()))
	default:
		return i.tell(c, errHungUp).Because(err)
	}
}

var errHungUp = lateen.ErrFunctionNoResponse.With("the function closed the connection without an answer")

// tell writes into the log of a request why the process gave no answer, or half of
// one, which it could not say itself.
func (i *instance) tell(c *call, why *lateen.Error) *lateen.Error {
	i.output.write(lateen.LogLine{Request: c.request, Level: lateen.LevelError, Source: "platform", Text: why.Message})
	return why
}

// doubt has the process asked whether it hangs, unless it is being asked.
func (i *instance) doubt(ctx context.Context) {
	if !i.doubted.CompareAndSwap(false, true) {
		return
	}
	i.engine.attend(func() {
		defer i.doubted.Store(false)
		i.unblock(context.WithoutCancel(ctx))
	})
}

// unblock ends the process if it is so busy that it answers nothing at all: a
// request that takes too long is one thing, an event loop that hangs another.
func (i *instance) unblock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, blockedAfter)
	defer cancel()
	resp, err := i.question(ctx, guest.QuestionAlive)
	if err == nil {
		resp.Body.Close()
		return
	}
	if ctx.Err() == nil || isClosed(i.exited) {
		return // it has ended, or ends
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cause != nil {
		return // it was killed already
	}
	what, why := "the function blocks its event loop", "it blocked its event loop past the time a request may take"
	if i.spec.Function.Runtime == wasi.Runtime {
		what, why = "the module does not end with its request", "its module ran past the time a request may take"
	}
	i.say(lateen.LevelError, fmt.Sprintf("%s: a request took longer than it may, and nothing else was answered for %v", what, blockedAfter))
	i.killLocked(errors.New(why))
}

// explainCut says why a response broke off.
func (i *instance) explainCut(ctx context.Context, c *call, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	i.settle(ctx, c)
	switch {
	case c.over() && c.fault != nil:
		return failure(c.fault.Reason, c.fault.Message)
	case i.doomed():
		return i.tell(c, lateen.ErrFunctionFailed.With("the function's process ended in the middle of its response: %s", i.death()))
	default:
		return lateen.ErrFunctionFailed.With("the function broke off its response").Because(err)
	}
}

// settle waits until it is known how a call ended whose connection has broken:
// what the process says about that comes by another way.
func (i *instance) settle(ctx context.Context, c *call) {
	timer := time.NewTimer(settleTimeout)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-i.exited:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// forget closes a call that never reached the process.
func (i *instance) forget(c *call) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls.end(c.id, nil)
	i.restLocked()
}

// untouched reports whether a connection broke before the process had read any
// of the request, which the kernel knows: it resets a connection whose other
// end is closed with something unread. Of a body some may have been read. A
// program that is talked to over TCP may reset what it has read, too.
func untouched(req *http.Request, err error) bool {
	return errors.Is(err, syscall.ECONNRESET) && !upstream.HasBody(req)
}

// failureIn reads the agent's answer in the function's place.
func failureIn(resp *http.Response, reason string) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFailureText))
	resp.Body.Close()
	if err != nil {
		return lateen.ErrFunctionFailed.Because(err)
	}
	return failure(reason, string(text))
}

// failure is the error of a request that failed as the agent says.
func failure(reason, message string) error {
	if reason == guest.FaultNoResponse {
		return lateen.ErrFunctionNoResponse.With("the function ended without a response: %s", message)
	}
	return lateen.ErrFunctionFailed.With("the function failed: %s", message)
}

// doomed reports whether the process has ended, or was told to: a busy host
// may take its time over that.
func (i *instance) doomed() bool {
	if isClosed(i.exited) {
		return true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cause != nil
}

// death says why the process has ended, or shall; see doomed.
func (i *instance) death() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.deathLocked()
}

func (i *instance) deathLocked() error {
	switch {
	case i.cause != nil:
		return i.cause
	case i.state.OutOfMemory, i.state.Signal != 0 && strings.Contains(i.output.lastWords(), "heap out of memory"):
		return i.memoryExceeded()
	default:
		return errors.New(i.state.String())
	}
}

func (i *instance) memoryExceeded() error {
	return fmt.Errorf("it used more than %d MiB of memory", i.memory>>20)
}
