// Package inspect implements the commands that show deployments, functions and requests:
// ls, inspect, functions, usage, logs and open.
package inspect

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }
