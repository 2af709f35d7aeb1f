package lateen

import "regexp"

// Environment is a stage of a project with variables and deployments of its own:
// production, preview, development, or a custom environment, named by its slug.
type Environment string

// The environments of every project. No deployment is for development.
const (
	Production  Environment = "production"
	Preview     Environment = "preview"
	Development Environment = "development"
)

// ErrTargetInvalid reports a text that cannot name an environment.
var ErrTargetInvalid = &Error{Code: Invalid, Reason: "target_invalid", Message: "an environment's name is 1 to 32 characters of a-z, 0-9 and '-'"}

var environmentPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Validate reports a malformed name as [ErrTargetInvalid].
func (e Environment) Validate() error {
	if !environmentPattern.MatchString(string(e)) {
		return ErrTargetInvalid.With("%q is not the name of an environment: 1 to 32 characters of a-z, 0-9 and '-'", string(e))
	}
	return nil
}

// Custom reports whether e is not one of the environments of every project.
func (e Environment) Custom() bool { return e != Production && e != Preview && e != Development }
