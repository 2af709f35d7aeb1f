package wasi

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/lateen-dev/lateen"
)

const maxHead = 1 << 20 // bytes of a response's head

// exchange is a request and the module that answers it.
type exchange struct {
	instance *instance
	req      *http.Request
	request  lateen.RequestID
	ctx      context.Context //nolint:containedctx // of the request and of the instance
	cancel   context.CancelCauseFunc
	memory   *memory

	stdin  *io.PipeWriter // what the module reads comes from here
	input  *io.PipeReader
	stdout *io.PipeReader // what it writes comes from here
	output *io.PipeWriter
	stderr *lines

	computes bool // it has a turn; the module's own goroutine says
}

func newExchange(i *instance, req *http.Request) *exchange {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	x := &exchange{instance: i, req: req, request: lateen.RequestIDFrom(req.Context())}
	x.ctx, x.cancel = context.WithCancelCause(req.Context())
	stop := context.AfterFunc(i.running, func() { x.cancel(context.Cause(i.running)) })
	context.AfterFunc(x.ctx, func() { stop() })
	x.input, x.stdin = io.Pipe()
	x.stdout, x.output = io.Pipe()
	x.memory = &memory{instance: i}
	x.stderr = &lines{say: func(text string) { i.say(x.request, lateen.LevelError, "function", text) }}
	return x
}

// run runs the module to its end, which it tells whoever reads the response:
// who has read all of it finds the instance idle.
func (x *exchange) run() {
	var sending sync.WaitGroup
	sending.Go(x.send)
	hangUp := context.AfterFunc(x.ctx, func() { // a module that waits for its reader or its input does so no more
		_ = x.input.CloseWithError(context.Cause(x.ctx)) // always nil, as below
		_ = x.output.CloseWithError(context.Cause(x.ctx))
		_ = x.req.Body.Close() // whose reader may wait for more
	})
	defer sending.Wait()
	defer hangUp()
	err := x.call()
	x.stderr.flush()
	x.instance.end()
	_ = x.input.CloseWithError(io.ErrClosedPipe)
	_ = x.output.CloseWithError(x.explain(err)) // nil is the end of the response
	x.cancel(nil)
}

// send gives the module the request's body.
func (x *exchange) send() {
	_, err := io.Copy(x.stdin, x.req.Body)
	if err == nil {
		err = io.EOF
	}
	_ = x.stdin.CloseWithError(err) // always nil
	_ = x.req.Body.Close()          // of which all is read that will be
}

// call runs the module, once it is its turn, on a thread that does nothing else
// meanwhile, whose time is the module's.
func (x *exchange) call() (err error) {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	runtime.LockOSThread()
	if restore := background(); restore != nil {
		defer func() {
			if restore() { // or the thread ends with this goroutine
				runtime.UnlockOSThread()
			}
		}()
	} else {
		defer runtime.UnlockOSThread()
	}
	x.instance.clockIn(x)
	defer x.instance.clockOut(x)
	defer x.memory.free()
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the module could not be run: %v", fault)
		}
	}()
	root, err := os.OpenRoot(x.instance.tree)
	if err != nil {
		return fmt.Errorf("open the function's files: %w", err)
	}
	defer root.Close() //nolint:errcheck // it holds no data
	config := wazero.NewModuleConfig().WithName("").
		WithArgs(x.instance.spec.Function.Handler).
		WithStdin(aside{x}).WithStdout(aside{x}).WithStderr(x.stderr).
		WithFSConfig(wazero.NewFSConfig().WithFSMount(root.FS(), "/")). // which cannot be left, nor written to
		WithSysWalltime().WithSysNanotime().WithNanosleep(x.sleep).WithRandSource(rand.Reader)
	for name, value := range x.environment() {
		config = config.WithEnv(name, value)
	}
	ctx := experimental.WithMemoryAllocator(x.ctx, x.memory)
	module, err := x.instance.engine.runtime.InstantiateModule(ctx, x.instance.module.compiled, config)
	if module != nil {
		err = errors.Join(err, module.Close(ctx))
	}
	return err
}

// sleep is the module's way to wait, which ends with the request.
func (x *exchange) sleep(ns int64) {
	x.leave()
	defer func() { _ = x.enter() }() // what ends with its request does not care
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	}
}

// enter waits for the module's turn to compute, unless the request ends before.
func (x *exchange) enter() error {
	err := x.instance.engine.turns.take(x.ctx, x.instance.spec.Project)
	x.computes = err == nil
	return err
}

// leave ends its turn, where it has one.
func (x *exchange) leave() {
	if x.computes {
		x.computes = false
		x.instance.engine.turns.give(x.instance.spec.Project)
	}
}

// aside is the module's input and output, which wait while it has no turn.
type aside struct{ x *exchange }

// Read reads from the request.
func (a aside) Read(p []byte) (int, error) {
	a.x.leave()
	n, err := a.x.input.Read(p)
	return n, a.back(err)
}

// Write writes to the response.
func (a aside) Write(p []byte) (int, error) {
	a.x.leave()
	n, err := a.x.output.Write(p)
	return n, a.back(err)
}

func (a aside) back(err error) error {
	if turn := a.x.enter(); err == nil {
		return turn
	}
	return err
}

// explain says what the end of a module means; nil if it is well.
func (x *exchange) explain(err error) error {
	var exit *sys.ExitError
	exited := errors.As(err, &exit)
	switch {
	case err == nil, exited && exit.ExitCode() == 0:
		return nil
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case x.memory.full:
		return lateen.ErrFunctionThrottled.With("the requests to modules use all the memory that there is for them, or those of this project half of it")
	case x.memory.refused:
		return lateen.ErrFunctionFailed.With("the function failed: %s", x.instance.memoryExceeded())
	case exited:
		return lateen.ErrFunctionFailed.With("the function failed: it exited with status %d", exit.ExitCode())
	}
	x.instance.say(x.request, lateen.LevelError, "function", err.Error()) // with its stack
	first, _, _ := strings.Cut(err.Error(), "\n")
	return lateen.ErrFunctionFailed.With("the function failed: %s", first)
}

// response returns what the module answers once its head is here.
func (x *exchange) response() (*http.Response, error) {
	out := bufio.NewReader(x.stdout)
	header, err := readHead(out)
	if err != nil {
		_ = x.stdout.CloseWithError(err) // nobody reads on
		switch {
		case x.req.Context().Err() != nil:
			return nil, context.Cause(x.req.Context())
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, lateen.ErrFunctionNoResponse.With("the function ended without a response: it wrote no head of one")
		}
		return nil, err
	}
	resp := &http.Response{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: x.req, Header: header, ContentLength: -1, StatusCode: http.StatusOK,
		Body: &body{Reader: out, x: x},
	}
	if header.Get("Location") != "" {
		resp.StatusCode = http.StatusFound
	}
	if text := header.Get("Status"); text != "" {
		code, _, _ := strings.Cut(text, " ")
		resp.StatusCode, err = strconv.Atoi(code)
		if err != nil || resp.StatusCode < 200 || resp.StatusCode > 999 {
			x.cancel(errStopped)
			return nil, lateen.ErrFunctionFailed.With("the function failed: its response has the status %q", text)
		}
		header.Del("Status")
	}
	if length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = length
	}
	resp.Status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	return resp, nil
}

// readHead reads the head of a response as CGI programs write it (RFC 3875,
// section 6): fields of which one at least is there, and an empty line.
func readHead(r *bufio.Reader) (http.Header, error) {
	limited := textproto.NewReader(bufio.NewReader(&headReader{r: r, left: maxHead}))
	fields, err := limited.ReadMIMEHeader()
	var malformed textproto.ProtocolError
	switch {
	case errors.As(err, &malformed):
		return nil, lateen.ErrFunctionFailed.With("the function failed: the head of its response is malformed: %s", malformed.Error())
	case err != nil:
		return nil, err
	case len(fields) == 0:
		return nil, lateen.ErrFunctionFailed.With("the function failed: its response has no head: it begins with Content-Type, Location or Status")
	}
	return http.Header(fields), nil
}

// headReader gives out no byte behind the head.
type headReader struct {
	r    *bufio.Reader
	left int
}

// Read reads a line at most.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, lateen.ErrFunctionFailed.With("the function failed: the head of its response is too long")
	}
	for n := range min(len(p), h.left) {
		b, err := h.r.ReadByte()
		if err != nil {
			return n, err
		}
		p[n] = b
		if h.left--; b == '\n' {
			return n + 1, nil
		}
	}
	return min(len(p), h.left), nil
}

// body is the body of a response; closing it ends the module.
type body struct {
	io.Reader

	x *exchange
}

// Close breaks off what has not been read.
func (b *body) Close() error {
	b.x.cancel(errClosed)
	return b.x.stdout.CloseWithError(errClosed)
}

var errClosed = errors.New("nobody reads the response")
