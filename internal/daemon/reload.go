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

// Successor is the program that takes over this process at a reload.
type Successor struct {
	Program string   // path, as it is then
	Args    []string // with its name
	Environ []string
	Before  func() // called right before, for what is to be put in order; nil: nothing is
}

const (
	checkTimeout = 30 * time.Second // for a successor to say its version
	socketName   = "lateen"         // of sockets that were not passed
)

var errReload = errors.New("a reload was asked for")

var errSuccessor = &lateen.Error{Code: lateen.Internal, Reason: "reload_failed", Message: "the platform has ended and its successor does not start", Hint: "start it again: `lateen up`"}

// check tells whether the successor can be executed at all: the platform does
// not end for one that cannot.
func (s *Successor) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Program, "version") //nolint:gosec // it is what was started
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.Environ, "/", time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("`%s version`: %w: %.200s", s.Program, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// awaitReload lets end be called once all requests have ended that were in
// flight when a reload was asked for. A successor that cannot be executed is
// told of, and changes nothing.
func (d *Daemon) awaitReload(ctx context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.o.Reload:
		}
		if err := d.o.Successor.check(ctx); err != nil {
			d.log.ErrorContext(ctx, "not reloaded: the program does not run", "err", err)
			d.lock.say(err.Error())
			continue
		}
		d.log.InfoContext(ctx, "reloading: everybody is served until the requests in flight have ended", "program", d.o.Successor.Program)
		d.serving.Renew(ctx)
		if ctx.Err() != nil {
			return // it ends for another reason
		}
		d.serving.fleet.Hasten(time.Now().Add(d.o.Config.ReloadTimeout))
		end(errReload)
		return
	}
}

// succeed executes the successor, which finds the sockets open. It returns only
// if that fails, or if ctx ended meanwhile.
func (d *Daemon) succeed(ctx context.Context, ended error) error {
	if ended != nil {
		d.log.ErrorContext(ctx, "reloading all the same", "err", ended)
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

// listen returns the listeners that were passed, or opens the configured one,
// for a successor to have it too.
func (d *Daemon) listen() ([]net.Listener, error) {
	passed := d.o.Sockets
	if passed != nil && passed.Len() > 0 {
		return passed.Listeners()
	}
	l, err := net.Listen("tcp", d.o.Config.Listen) //nolint:noctx // it lives as long as the daemon
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

// causeOf is the end of a chain of errors of the network: what the system says.
func causeOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}
