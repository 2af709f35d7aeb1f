// Package platform implements the commands of a platform on this machine: up, reload,
// backup, doctor and debug.
package platform

import (
	"context"
	"io"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
)

// Daemon is the platform that this build contains. A build without a platform has no
// functions here.
type Daemon struct {
	// Start starts a platform in this process. It returns once the platform listens.
	Start func(ctx context.Context, o UpOptions) (Server, error)
	// Examine checks the requirements of a platform on this host.
	Examine func(ctx context.Context, c *config.Config) (lateen.Examination, error)
	// Scrub reads every artifact of a data directory. progress is called with the number
	// of artifacts read and the total.
	Scrub func(ctx context.Context, c *config.Config, progress func(done, total int64)) (lateen.Scrub, error)
	// Backup copies a data directory to another directory, which is empty or missing.
	// progress is called with the number of artifacts processed and the total.
	Backup func(ctx context.Context, c *config.Config, dir string, progress func(done, total int64)) (lateen.Backup, error)
	// Reload makes the platform of a data directory execute its program again, and
	// returns once the new program serves.
	Reload func(ctx context.Context, data string) error
}

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

// Server is a platform that listens.
type Server interface {
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

var errNoPlatform = &lateen.Error{Code: lateen.Invalid, Reason: "no_platform", Message: "this build of lateen contains no platform"}

// session is one run of a command of this package.
type session struct {
	*command.Session

	daemon Daemon
}
