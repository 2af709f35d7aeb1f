// Package account implements the commands of accounts: logins, tokens, teams, members
// and the audit log.
package account

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }
