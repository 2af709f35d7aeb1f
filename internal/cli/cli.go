// Package cli is the `lateen` command: verbs over the client, one file each.
//
// Commands touch the process they run in through a [State] alone, so that they
// run side by side in tests. They print through [Term]: the answer on standard
// output, everything else on standard error.
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

// State is everything a command touches of the process it runs in.
type State struct {
	Args   []string // without the program's name
	Env    []string // KEY=value, as of [os.Environ]
	Dir    string   // working directory; "" is the process's
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	Up     Up                                             // makes the platform of `lateen up`; nil: this build has none
	Doctor Doctor                                         // examines this host; nil: this build has no platform
	Scrub  Scrub                                          // reads the artefacts of a data directory; nil: this build has no platform
	Backup Backup                                         // copies a data directory; nil: this build has no platform
	Reload Reload                                         // reloads the platform of a data directory; nil: this build has none
	Open   func(ctx context.Context, target string) error // shows a URL to a person; nil is the desktop's browser
	HTTP   *http.Client                                   // talks to the platform; nil is one of its own
	Now    func() time.Time                               // nil is [time.Now]
}

// Up makes a platform in this process. It returns once the platform listens.
type Up func(ctx context.Context, o UpOptions) (Platform, error)

// Doctor looks at this host with the eyes of a platform that is to run there.
type Doctor func(ctx context.Context, c *config.Config) (lateen.Examination, error)

// Scrub reads every artefact of a data directory. progress is called with the
// artefacts that were read and all that there are.
type Scrub func(ctx context.Context, c *config.Config, progress func(done, total int64)) (lateen.Scrub, error)

// Backup copies what a data directory keeps to another directory, which is empty
// or missing. progress is called with the artefacts that were looked at and all
// that there are.
type Backup func(ctx context.Context, c *config.Config, dir string, progress func(done, total int64)) (lateen.Backup, error)

// Reload has the platform on a data directory execute its program anew, and
// returns once that has taken over.
type Reload func(ctx context.Context, data string) error

// UpOptions are what `lateen up` knows.
type UpOptions struct {
	Config  *config.Config
	Out     io.Writer // the platform's own log
	Getenv  func(string) string
	Version string
	// Progress is told how much of a runtime has been fetched, in bytes; total
	// is 0 while unknown.
	Progress func(name string, done, total int64)
}

// Platform is a platform that listens.
type Platform interface {
	// Addr is the address it listens on.
	Addr() string
	// Token is a token of its owner, and whether this is the platform's first
	// start. It is "" where the owner has one already.
	Token() (secret string, first bool)
	// Missing says which walls around functions do not stand on this machine,
	// or "".
	Missing() string
	// Run serves until ctx ends.
	Run(ctx context.Context) error
}

// Run does what the arguments say and returns the exit code of the process;
// see [exitCode].
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
		HTTP: s.HTTP, UserAgent: "lateen/" + ReadBuild().Version, Now: s.Now,
	})}
}
