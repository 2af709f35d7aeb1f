// Package cli is the `lateen` command: verbs over the client, one file each.
//
// Commands use their process only through a [State], so that tests can run them in
// parallel. They print through [Term]: results to standard output, all other text to
// standard error.
package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
)

// State is the part of the process that a command uses.
type State struct {
	Args   []string // without the program's name
	Env    []string // KEY=value, as of [os.Environ]
	Dir    string   // working directory; "" is the process's
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	Up     Up                                             // starts the platform of `lateen up`; nil: this build has no platform
	Doctor Doctor                                         // checks this host; nil: this build has no platform
	Scrub  Scrub                                          // reads the artefacts of a data directory; nil: this build has no platform
	Backup Backup                                         // copies a data directory; nil: this build has no platform
	Reload Reload                                         // reloads the platform of a data directory; nil: this build has no platform
	Open   func(ctx context.Context, target string) error // opens a URL; nil uses the browser of the desktop
	HTTP   *http.Client                                   // for calls to the platform; nil uses a new client
	Now    func() time.Time                               // nil is [time.Now]
}

// Up starts a platform in this process. It returns once the platform listens.
type Up func(ctx context.Context, o UpOptions) (Platform, error)

// Doctor checks the requirements of a platform on this host.
type Doctor func(ctx context.Context, c *config.Config) (lateen.Examination, error)

// Scrub reads every artefact of a data directory. progress is called with the number
// of artefacts read and the total.
type Scrub func(ctx context.Context, c *config.Config, progress func(done, total int64)) (lateen.Scrub, error)

// Backup copies a data directory to another directory, which is empty or missing.
// progress is called with the number of artefacts processed and the total.
type Backup func(ctx context.Context, c *config.Config, dir string, progress func(done, total int64)) (lateen.Backup, error)

// Reload makes the platform of a data directory execute its program again, and
// returns once the new program serves.
type Reload func(ctx context.Context, data string) error

// UpOptions are the inputs of `lateen up`.
type UpOptions struct {
	Config  *config.Config
	Out     io.Writer // the platform's own log
	Getenv  func(string) string
	Version string
	// Progress receives the progress of a runtime's download in bytes; total is 0
	// while unknown.
	Progress func(name string, done, total int64)
}

// Platform is a platform that listens.
type Platform interface {
	// Addr is the address it listens on.
	Addr() string
	// Token returns a token of the owner, "" if the owner has one already, and
	// reports whether this is the platform's first start.
	Token() (secret string, first bool)
	// Missing describes the sandbox layers that this machine lacks, or is "".
	Missing() string
	// Run serves until ctx ends.
	Run(ctx context.Context) error
}

// Run executes the command of the arguments and returns the exit code of the
// process; see [exitCode].
func Run(ctx context.Context, s State) int {
	sess := newSession(s)
	root := newRootCommand(sess)
	cmd, err := root.ExecuteContextC(ctx)
	sess.Term.Close()
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		err = errInterrupted.Because(err)
	}
	err = explained(err)
	sess.fail(cmd, err)
	return exitCode(err)
}

// session is one run of a command.
type session struct {
	State
	*command.Session
}

func newSession(s State) *session {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.HTTP == nil {
		s.HTTP = &http.Client{}
	}
	if s.Stdin == nil {
		s.Stdin = strings.NewReader("")
	}
	return &session{State: s, Session: command.NewSession(command.Process{
		Env: s.Env, Dir: s.Dir, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		HTTP: s.HTTP, UserAgent: "lateen/" + command.ReadBuild().Version, Now: s.Now,
	})}
}
