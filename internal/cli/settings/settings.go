// Package settings implements the commands of the settings of projects: project, env and
// alias.
package settings

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }
