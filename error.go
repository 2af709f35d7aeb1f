package lateen

import (
	"errors"
	"fmt"
)

// A Code classifies an error by the action that the caller can take. Each interface
// (the HTTP API, the edge, the CLI) has one table from Code to its own terms.
type Code string

// The codes. The set is closed: prefer a new Reason to a new Code.
const (
	Invalid         Code = "invalid"         // the request cannot succeed as sent
	Unauthenticated Code = "unauthenticated" // the request carries no valid credentials
	Forbidden       Code = "forbidden"       // the principal lacks the permission
	NotFound        Code = "not_found"       // the resource does not exist, or the principal may not see it
	Conflict        Code = "conflict"        // the resource has changed, or the name is taken
	Exhausted       Code = "exhausted"       // a quota or a queue is full
	Faulted         Code = "faulted"         // the user code failed
	Unavailable     Code = "unavailable"     // a later attempt may succeed
	Timeout         Code = "timeout"         // the operation took too long
	Internal        Code = "internal"        // the platform failed
)

// Codes lists every Code, for the tables that must know them all.
func Codes() []Code {
	return []Code{Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Exhausted, Faulted, Unavailable, Timeout, Internal}
}

// Error is the only error type that crosses a package boundary with meaning. The
// receiver treats any other error as [Internal].
type Error struct {
	Code    Code              `json:"code"`
	Reason  string            `json:"reason"`           // stable, snake_case: domain_taken
	Message string            `json:"message"`          // text for people, safe to show
	Hint    string            `json:"hint,omitempty"`   // next step for the user, if known
	Fields  map[string]string `json:"fields,omitempty"` // faults by input field

	cause error // cause, for logs only; no response contains it
}

// Error returns the message and, if there is one, the cause. It is for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an [Error] with the same Reason, so that a copy
// made by [Error.Because] or decoded by the client matches its declaration.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && e.Reason != "" && e.Reason == t.Reason
}

// Because returns a copy of e that wraps cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// With returns a copy of e with another message. The declaration describes the kind
// of the fault, the copy names the affected resource.
func (e *Error) With(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// WithHint returns a copy of e with another hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf returns the code of the first [Error] in err's chain, [Internal] if
// there is none, and "" if err is nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// Errors that belong to no single resource.
var (
	ErrInternal = &Error{Code: Internal, Reason: "internal", Message: "internal error"}
	ErrInvalid  = &Error{Code: Invalid, Reason: "bad_request", Message: "the request is malformed"}
	ErrNotFound = &Error{Code: NotFound, Reason: "not_found", Message: "not found"}
	ErrMethod   = &Error{Code: Invalid, Reason: "method_not_allowed", Message: "the resource does not take this method"}
	ErrTooLarge = &Error{Code: Invalid, Reason: "too_large", Message: "the body is larger than allowed"}

	// ErrArtifactDamaged reports content that does not match its digest: its bytes
	// changed on the disk.
	ErrArtifactDamaged = &Error{
		Code: Internal, Reason: "artifact_damaged", Message: "an artifact is damaged",
		Hint: "`lateen doctor --scrub` names the damaged artifacts and their deployments; restore them from a backup, or deploy again",
	}
	// ErrTeamStorage reports an upload past the storage bound of its team.
	ErrTeamStorage = &Error{
		Code: Exhausted, Reason: "team_storage_full", Message: "the storage of this team is full",
		Hint: "remove deployments with `lateen rm`, which frees their storage within a day, or ask the operator to raise --team-storage",
	}

	// ErrStorageFull reports a write to a full disk, or past a disk quota.
	ErrStorageFull = &Error{
		Code: Unavailable, Reason: "insufficient_storage", Message: "the platform's disk is full",
		Hint: "free space on the disk of the data directory: lower --log-bytes or --cache-bytes, or remove deployments with `lateen rm`, which frees their storage within a day",
	}
)
