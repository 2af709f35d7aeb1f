package lateen

import (
	"regexp"
	"strings"
)

// The types of an environment variable. Users can read an encrypted value back; only
// deployments of its environments can read a sensitive one.
const (
	EnvPlain     = "plain"
	EnvEncrypted = "encrypted"
	EnvSensitive = "sensitive"
	EnvSystem    = "system"
)

// EnvVar is a variable of a project in some of its environments. Values are
// encrypted at rest. A deployment gets the values of the time of its creation.
type EnvVar struct {
	ID        EnvID         `json:"id"`
	Project   ProjectID     `json:"-"`
	Key       string        `json:"key"`
	Value     string        `json:"value"`               // clear text; "" if the reader may not see it
	Type      string        `json:"type"`                // one of the constants EnvPlain, EnvEncrypted, …
	Target    []Environment `json:"target"`              // environments, never empty
	GitBranch string        `json:"gitBranch,omitempty"` // branch of preview deployments; "" is every branch
	Comment   string        `json:"comment,omitempty"`
	CreatedAt Millis        `json:"createdAt"`
	UpdatedAt Millis        `json:"updatedAt"`
}

// Errors of environment variables.
var (
	ErrEnvNotFound = &Error{Code: NotFound, Reason: "env_not_found", Message: "environment variable not found", Hint: "list them with `lateen env ls`"}
	ErrEnvInvalid  = &Error{Code: Invalid, Reason: "env_invalid", Message: "the environment variable is malformed"}
	ErrEnvReserved = &Error{Code: Invalid, Reason: "env_reserved", Message: "the name is reserved for the platform"}
	ErrEnvTaken    = &Error{Code: Conflict, Reason: "ENV_CONFLICT", Message: "the variable exists in one of these environments", Hint: "change it with `lateen env update`, or add it with --force"}
	ErrEnvTooMany  = &Error{Code: Exhausted, Reason: "env_too_many", Message: "the project is at its limit of environment variables", Hint: "remove some with `lateen env rm`"}
	ErrEnvTooLarge = &Error{Code: Invalid, Reason: "env_too_large", Message: "the variables of the deployment exceed 64 KiB"}
)

// The bounds of the variables of one project, all environments and branches
// together.
const (
	MaxProjectEnv      = 1000    // number of variables
	MaxProjectEnvBytes = 4 << 20 // bytes of names and encrypted values
)

// MaxEnvBytes bounds the names and values of one deployment together, in bytes.
const MaxEnvBytes = 64 << 10

var envKeyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)

// Validate reports a malformed variable as [ErrEnvInvalid] or [ErrEnvReserved].
func (e *EnvVar) Validate() error {
	switch {
	case !envKeyPattern.MatchString(e.Key):
		return ErrEnvInvalid.With("%q is not a variable name: letters, digits and '_', not a digit first, 256 at most", e.Key)
	case ReservedEnv(e.Key):
		return ErrEnvReserved.With("%s is reserved for the platform", e.Key)
	case strings.ContainsRune(e.Value, 0):
		return ErrEnvInvalid.With("the value of %s has a NUL byte, which no environment variable can contain", e.Key)
	case len(e.Target) == 0:
		return ErrEnvInvalid.With("%s names no environment", e.Key).WithHint("name production, preview or development")
	case len(e.Key)+len(e.Value) > MaxEnvBytes:
		return ErrEnvTooLarge
	case e.Type != EnvPlain && e.Type != EnvEncrypted && e.Type != EnvSensitive:
		return ErrEnvInvalid.With("%q is not a type of variable: plain, encrypted or sensitive", e.Type)
	}
	for _, target := range e.Target {
		if e.Type == EnvSensitive && target == Development {
			return ErrEnvInvalid.With("%s is sensitive and development values must be readable", e.Key)
		}
		if e.GitBranch != "" && target != Preview {
			return ErrEnvInvalid.With("%s has a Git branch, which only preview variables may have", e.Key)
		}
	}
	return nil
}

// Environments returns the names of the environments, separated by ", ".
func (e *EnvVar) Environments() string {
	names := make([]string, 0, len(e.Target))
	for _, target := range e.Target {
		names = append(names, string(target))
	}
	return strings.Join(names, ", ")
}

// ReservedEnv reports whether key is reserved, because the platform or the runtimes
// set it.
func ReservedEnv(key string) bool {
	switch key {
	case "AWS_SECRET_KEY", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
		"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
		"NOW_REGION", "TZ", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR":
		return true
	}
	return false
}

// SystemEnv reports whether key is a system variable: the platform sets its value in
// deployments, over the value of a project's variable.
func SystemEnv(key string) bool {
	switch key {
	case "VERCEL", "VERCEL_ENV", "VERCEL_TARGET_ENV", "VERCEL_REGION", "VERCEL_PROJECT_ID", "VERCEL_PROJECT_PRODUCTION_URL",
		"VERCEL_DEPLOYMENT_ID", "VERCEL_URL", "VERCEL_BRANCH_URL":
		return true
	}
	return strings.HasPrefix(key, "VERCEL_GIT_")
}
