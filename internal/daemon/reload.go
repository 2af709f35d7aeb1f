package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
)

// Successor is the program that this process executes at a reload.
type Successor struct {
	Program string   // path, resolved at the reload
	Args    []string // arguments, including the program's name
	Environ []string
	Before  func() // called right before the execution, for cleanup; nil is allowed
}

const (
	checkTimeout = 30 * time.Second // time limit for a successor to print its version
	socketName   = "lateen"         // name of a listener that the daemon opened
)

var errReload = errors.New("reload requested")

var errSuccessor = &lateen.Error{Code: lateen.Internal, Reason: "reload_failed", Message: "the platform has stopped and its successor does not start", Hint: "start it again: `lateen up`"}

// check runs the successor's version command. The platform must not end for a
// successor that cannot be executed.
func (s *Successor) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Program, "version") //nolint:gosec // the program comes from the caller, not from input
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.Environ, "/", time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("`%s version`: %w: %.200s", s.Program, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// awaitReload waits for a reload, drains the connections that were open when it was
// requested, and calls end. If the successor cannot be executed, it reports that and
// waits for the next reload. A worker has no such connections: its client keeps new
// requests for the successor while the requests in flight end.
func (d *Daemon) awaitReload(ctx context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.o.Reload:
		}
		if err := d.o.Successor.check(ctx); err != nil {
			d.log.ErrorContext(ctx, "not reloaded: the program cannot be executed", "err", err)
			d.lock.report(err.Error())
			continue
		}
		if d.edge == nil {
			d.log.InfoContext(ctx, "reloading after the requests in flight", "program", d.o.Successor.Program)
			end(errReload)
			return
		}
		d.log.InfoContext(ctx, "reloading: serving new requests until the requests in flight have ended", "program", d.o.Successor.Program)
		d.edge.Renew(ctx)
		if ctx.Err() != nil {
			return // the platform stops for another reason
		}
		d.functions.Hasten(time.Now().Add(d.o.Config.ReloadTimeout))
		end(errReload)
		return
	}
}

// succeed executes the successor with the sockets open. It returns only if the
// execution fails, or if ctx ended meanwhile.
func (d *Daemon) succeed(ctx context.Context, ended error) error {
	if ended != nil {
		d.log.ErrorContext(ctx, "reloading despite an error", "err", ended)
	}
	s := d.o.Successor
	if s.Before != nil {
		s.Before()
	}
	if ctx.Err() != nil {
		return errors.Join(ended, d.o.Sockets.Close())
	}
	err := d.o.Sockets.Exec(s.Program, s.Args, s.Environ)
	return errSuccessor.Because(errors.Join(err, d.o.Sockets.Close()))
}

// listen sets the listeners once: the passed ones, or the configured one.
func (d *Daemon) listen() (err error) {
	if len(d.listeners) > 0 {
		return nil
	}
	if d.listeners, err = d.openListeners(); err != nil {
		return err
	}
	for _, l := range d.listeners {
		d.closers = append(d.closers, l)
	}
	return nil
}

// openListeners returns the passed listeners, or opens the configured one and adds
// it to the sockets of a successor.
func (d *Daemon) openListeners() ([]net.Listener, error) {
	passed := d.o.Sockets
	if passed != nil && passed.Len() > 0 {
		return passed.Listeners()
	}
	l, err := net.Listen("tcp", d.o.Config.Listen) //nolint:noctx // the listener stays open as long as the daemon runs
	if err != nil {
		failed := errListen.With("cannot listen on %s: %s", d.o.Config.Listen, causeOf(err)).Because(err)
		if errors.Is(err, fs.ErrPermission) {
			failed = failed.WithHint("%s", privilegedHint)
		}
		return nil, failed
	}
	if conn, ok := l.(syscall.Conn); ok && passed != nil {
		if err := passed.Keep(socketName, conn); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return []net.Listener{l}, nil
}

// causeOf returns the system's error at the end of a chain of errors of the network or of files.
func causeOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}
