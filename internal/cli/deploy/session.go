// Package deploy implements the commands that create deployments and choose the one that
// serves production: link, deploy, redeploy, promote, rollback and rm.
package deploy

import "github.com/lateen-dev/lateen/internal/cli/command"

// session is one run of a command of this package.
type session struct{ *command.Session }
