package wasi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/lateen-dev/lateen/internal/guest"
)

// exchange is a request and the instance of the module that answers it.
type exchange struct {
	server    *server
	conn      *connection
	reference guest.Context // identifies the request in messages
	req       *http.Request
	ctx       context.Context //nolint:containedctx // it ends with the request
	cancel    context.CancelCauseFunc
	memory    *memory
	out       *response
	stderr    *lines
	fault     atomic.Pointer[guest.Fault] // failure of the request; nil: none
}

func newExchange(s *server, conn *connection, reference guest.Context, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{server: s, conn: conn, reference: reference, req: r, memory: &memory{budget: s.module.memory}}
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	x.out = newResponse(w)
	x.stderr = &lines{emit: x.log, requestErr: x.ctx.Err}
	conn.onEnd(x.reportEnd)
	if r.ContentLength != 0 {
		go conn.watch(x.ctx, x.cancel)
	}
	return x
}

// answer runs the module and ends the response.
func (x *exchange) answer() {
	ended := x.watchEnd()
	err := x.call()
	close(ended)
	x.stderr.flush()
	x.fault.Store(x.explain(err))
	fault := x.fault.Load()
	x.drain()
	if fault == nil && x.ctx.Err() == nil {
		return
	}
	if x.out.begun || fault == nil {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	h := x.out.w.Header()
	clear(h)
	h.Set(guest.HeaderFailure, fault.Reason)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	x.out.w.WriteHeader(http.StatusInternalServerError)
	_, _ = x.out.w.Write([]byte(fault.Message)) // the supervisor may be gone
}

// drain discards the part of the body that the module did not read, so that the
// connection can be used again. If the body does not end within the limits of time and
// size, the server closes the connection, which the supervisor, still sending, sees.
func (x *exchange) drain() {
	if x.req.ContentLength == 0 {
		return
	}
	if err := x.out.controller.SetReadDeadline(time.Now().Add(drainTimeout)); err != nil {
		return
	}
	_, err := io.CopyN(io.Discard, x.req.Body, maxDrained)
	if errors.Is(err, io.EOF) {
		_ = x.out.controller.SetReadDeadline(time.Time{}) // otherwise the connection is unusable
	}
}

// watchEnd makes the supervisor replace the process if the module still runs
// [endTimeout] after the end of its request. The caller closes the returned channel once
// the module has ended.
func (x *exchange) watchEnd() (ended chan struct{}) {
	ended = make(chan struct{})
	context.AfterFunc(x.ctx, func() {
		timer := time.NewTimer(endTimeout)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			x.log("the module does not end with its request: the instance is replaced")
			x.server.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: 1, Message: "a module does not end with its request"})
			x.conn.sendEnd()
		}
	})
	return ended
}

// reportEnd reports the end of the request to the supervisor.
func (x *exchange) reportEnd() {
	x.server.control.Send(guest.TypeEnd, guest.End{Context: x.reference, Error: x.fault.Load()})
}

// log writes a line to the log of the request.
func (x *exchange) log(text string) {
	x.server.control.Send(guest.TypeLog, guest.Log{Context: x.reference, Message: []byte(text), Stream: "stderr"})
}

// call runs the module until it exits.
func (x *exchange) call() (err error) {
	defer x.memory.free()
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the module could not be run: %v", fault)
		}
	}()
	m := x.server.module
	config := wazero.NewModuleConfig().WithName("").
		WithArgs(m.spec.Handler).
		WithStdin(x.req.Body).WithStdout(x).WithStderr(x.stderr).
		WithFSConfig(wazero.NewFSConfig().WithFSMount(m.root.FS(), "/")). // the module can neither leave it nor write to it
		WithSysWalltime().WithSysNanotime().WithNanosleep(x.sleep).WithRandSource(rand.Reader)
	for name, value := range environment(m.spec.Env, x.req) {
		config = config.WithEnv(name, value)
	}
	ctx := experimental.WithMemoryAllocator(x.ctx, x.memory)
	instance, err := m.runtime.InstantiateModule(ctx, m.compiled, config)
	if instance != nil {
		err = errors.Join(err, instance.Close(ctx))
	}
	return err
}

// sleep implements the sleep of WASI. It returns early if the request ends.
func (x *exchange) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
	}
}

// Write writes to the response. A failure, such as a malformed response, ends the
// module.
func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.out.Write(p)
	if err != nil {
		x.cancel(err)
	}
	return n, err
}

// explain returns the failure of the request; nil if the module succeeded, or if the
// request was canceled.
func (x *exchange) explain(err error) *guest.Fault {
	var exit *sys.ExitError
	exited := errors.As(err, &exit)
	failed := func(format string, args ...any) *guest.Fault {
		return &guest.Fault{Reason: guest.FaultFailed, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case x.out.malformed != "":
		return failed("%s", x.out.malformed)
	case x.ctx.Err() != nil:
		return nil
	case err == nil, exited && exit.ExitCode() == 0:
		if x.out.begun {
			return nil
		}
		return &guest.Fault{Reason: guest.FaultNoResponse, Message: "it wrote no head"}
	case x.memory.refused:
		return failed("it used more than %d MiB of memory", x.server.module.spec.Memory)
	case exited:
		return failed("it exited with status %d", exit.ExitCode())
	}
	x.log(err.Error()) // err contains the stack of the module
	first, _, _ := strings.Cut(err.Error(), "\n")
	return failed("%s", first)
}
