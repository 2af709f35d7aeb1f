// Package cli is the `lateen` command: the root of the command tree, its help and its
// errors. The groups of commands are in the packages below this one.
//
// Commands use their process only through a [State], so that tests can run them in
// parallel. They print through [terminal.Term]: results to standard output, all other text to
// standard error.
package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/cli/platform"
)

// State is the part of the process that a command uses.
type State struct {
	Args   []string // without the program's name
	Env    []string // KEY=value, as of [os.Environ]
	Dir    string   // working directory; "" is the process's
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	Daemon platform.Daemon                                // the platform of this build
	Open   func(ctx context.Context, target string) error // opens a URL; nil uses the browser of the desktop
	HTTP   *http.Client                                   // for calls to the platform; nil uses a new client
	Now    func() time.Time                               // nil is [time.Now]
}

// Run executes the command of the arguments and returns the exit code of the
// process; see [exitCode].
func Run(ctx context.Context, s State) int {
	sess := newSession(s)
	root := newRootCommand(sess, s)
	cmd, err := root.ExecuteContextC(ctx)
	sess.Term.Close()
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		err = errInterrupted.Because(err)
	}
	err = explained(err)
	fail(sess, cmd, err)
	return exitCode(err)
}

// newSession returns the session of a command, with the defaults of missing fields.
func newSession(s State) *command.Session {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.HTTP == nil {
		s.HTTP = &http.Client{Transport: newTransport()}
	}
	if s.Stdin == nil {
		s.Stdin = strings.NewReader("")
	}
	return command.NewSession(command.Process{
		Env: s.Env, Dir: s.Dir, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		HTTP: s.HTTP, UserAgent: "lateen/" + command.ReadBuild().Version, Now: s.Now,
	})
}
