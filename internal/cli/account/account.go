// Package account is the commands of users: who they are and which tokens they
// have.
package account

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }

// all is the pagination of a list that came whole, as in the replies of the API.
func all(count int) map[string]any {
	return map[string]any{"count": count, "next": nil, "prev": nil}
}
