// Package account implements the commands of accounts: logins, tokens, teams, members
// and the audit log.
package account

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }

// all is the pagination of a complete list, as in responses of the API.
func all(count int) map[string]any {
	return map[string]any{"count": count, "next": nil, "prev": nil}
}
