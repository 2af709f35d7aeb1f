// Package account is the commands of users: who they are and which tokens they
// have.
package account

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }
