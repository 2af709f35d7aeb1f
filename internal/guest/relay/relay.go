// Package relay is the guest of functions that bring their own program. It
// stands in the sandbox between the supervisor and that program, which may be
// any of three: an HTTP server on $PORT, an HTTP server that speaks the guest
// protocol itself over $VERCEL_IPC_PATH, or a client of the AWS Lambda Runtime
// API.
//
// Requests do not pass through it where the program is a server: the relay
// hands the supervisor sockets that are connected to it ([handover]), which
// work across network namespaces.
//
// It is this same program: whoever starts relays calls [Main] first thing in
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

// Argument is the one argument a relay is started with.
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

// relay is the state of one.
type relay struct {
	control  *guest.Sender
	messages *guest.Reader
	listener net.Listener // of the supervisor's connections
	spec     guest.Activate
	program  *program
}

// run is the life of a relay; its result is the status to exit with.
func run() (int, error) {
	conn, listener, err := guest.Inherit()
	if err != nil {
		return 0, err
	}
	if err := guard(); err != nil {
		return 0, err
	}
	r := &relay{control: guest.NewSender(conn), messages: guest.NewReader(conn), listener: listener}
	starter := newStarter() // what takes time is done before there is a function
	r.control.Send(guest.TypeParked, struct{}{})
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

// serve starts the program, says when it takes requests, and ends with it.
func (r *relay) serve(starter *starter) (int, error) {
	began := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) //nolint:forbidigo // the root of this process
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // the end of the supervisor is the end of it all
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
		if err := <-ready; err != nil && !errors.Is(err, context.Cause(ctx)) { // the program has said why it ends
			_, status := r.program.end()
			r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: status, Message: err.Error()})
			return status, nil
		}
		return r.exited(), nil
	case err = <-ready:
	case <-ctx.Done():
		if err := <-ready; err != nil && !errors.Is(err, context.Cause(ctx)) {
			fmt.Fprintln(os.Stderr, err) // the last words of a program that was too long in starting
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
		r.program.terminate() // the supervisor kills what does not listen
		<-r.program.done
	}
	return r.exited(), nil
}

// errExited ends the wait for a program that has exited.
var errExited = errors.New("the program has exited")

// exited tells how the program ended, and returns a status that tells it, too.
func (r *relay) exited() int {
	how, status := r.program.end()
	r.control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: status, Message: how})
	return status
}

// face is a way to talk to a program.
type face interface {
	// ready returns once the program takes requests.
	ready(ctx context.Context) (guest.ServerStarted, error)
	// serve answers the supervisor's connections.
	serve(supervisor net.Listener)
}

// face returns the one for this program and what it adds to its environment.
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
