// Package relay is the guest of functions that bring their own program. It runs in the
// sandbox between the supervisor and that program, which may be one of three: an HTTP
// server on $PORT, an HTTP server that speaks the guest protocol itself over
// $VERCEL_IPC_PATH, or a client of the AWS Lambda Runtime API.
//
// Requests to a server do not pass through the relay: it sends the supervisor sockets
// that are connected to the server ([handover]), which work across network namespaces.
//
// The relay is this same program: a program that starts relays calls [Main] first in
// main, and in TestMain.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen/internal/guest"
)

// Argument is the only argument of a relay.
const Argument = "lateen-relay"

// Main does not return in a process that is a relay. In any other it does nothing.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != Argument {
		return
	}
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		status = 1
	}
	os.Exit(status) //nolint:forbidigo // a relay is its own main program
}

// relay is the state of a relay.
type relay struct {
	control  *guest.Sender
	messages *guest.Reader
	listener net.Listener // listener of the supervisor's connections
	spec     guest.Activate
	program  *program
}

// run runs a relay and returns its exit status.
func run() (int, error) {
	conn, listener, err := guest.Inherit()
	if err != nil {
		return 0, err
	}
	if err := guard(); err != nil {
		return 0, err
	}
	r := &relay{control: guest.NewSender(conn), messages: guest.NewReader(conn), listener: listener}
	starter := newStarter() // slow work happens before the relay has a function
	r.control.Send(guest.TypeWaiting, struct{}{})
	m, err := r.messages.Next()
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := m.Into(&r.spec); err != nil {
		return 0, err
	}
	return r.serve(starter)
}

// serve starts the program, reports when it takes requests, and ends with it.
func (r *relay) serve(starter *starter) (int, error) {
	began := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) //nolint:forbidigo // the root of this process
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // the relay ends with its supervisor
		_, err := r.messages.Next()
		cancel(err)
	}()
	face, env, err := r.face(starter)
	if err != nil {
		return 0, err
	}
	r.program, err = starter.start(r.spec, env)
	if err != nil {
		r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: 1, Message: err.Error()})
		return 1, nil
	}
	ready := make(chan error, 1)
	go func() {
		started, err := face.ready(ctx)
		if err == nil {
			started.InitDuration = float64(time.Since(began).Microseconds()) / 1000
			r.control.Send(guest.TypeServerStarted, started)
		}
		ready <- err
	}()
	select {
	case <-r.program.done:
		cancel(errExited)
		if err := <-ready; err != nil && !errors.Is(err, context.Cause(ctx)) { // the program has reported why it ends
			_, status := r.program.end()
			r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: status, Message: err.Error()})
			return status, nil
		}
		return r.exited(), nil
	case err = <-ready:
	case <-ctx.Done():
		if err := <-ready; err != nil && !errors.Is(err, context.Cause(ctx)) {
			fmt.Fprintln(os.Stderr, err) // the last error of a program that started too slowly
		}
	}
	if err != nil && ctx.Err() == nil {
		r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: 1, Message: err.Error()})
		r.program.kill()
		return 1, nil
	}
	go face.serve(r.listener)
	select {
	case <-r.program.done:
	case <-ctx.Done():
		r.program.terminate() // the supervisor kills a program that ignores it
		<-r.program.done
	}
	return r.exited(), nil
}

// errExited ends the wait for a program that has exited.
var errExited = errors.New("the program has exited")

// exited reports the exit of the program and returns its status.
func (r *relay) exited() int {
	how, status := r.program.end()
	r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: status, Message: how})
	return status
}

// face is a protocol between the relay and a program.
type face interface {
	// ready returns once the program takes requests.
	ready(ctx context.Context) (guest.ServerStarted, error)
	// serve answers the supervisor's connections.
	serve(supervisor net.Listener)
}

// face returns the face for this program and its additional environment.
func (r *relay) face(s *starter) (face, []string, error) {
	if r.spec.Lambda != nil {
		l, err := newLambda(r.spec, r.control)
		if err != nil {
			return nil, nil, err
		}
		return l, l.environment(), nil
	}
	h, err := newHandover(s.watch, r.control)
	if err != nil {
		return nil, nil, err
	}
	return h, h.environment(), nil
}
