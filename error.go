package lateen

import (
	"errors"
	"fmt"
)

// A Code classes an error by what the caller can do about it. Every face (the
// HTTP API, the edge, the CLI) has one table from Code to its own terms.
type Code string

// The codes. The set is closed: a new Reason is cheap, a new Code is a decision.
const (
	Invalid         Code = "invalid"         // the request can never succeed as sent
	Unauthenticated Code = "unauthenticated" // who are you?
	Forbidden       Code = "forbidden"       // you may not
	NotFound        Code = "not_found"       // no such thing, or not yours to see
	Conflict        Code = "conflict"        // it changed, or the name is taken
	Exhausted       Code = "exhausted"       // a quota or a queue is full
	Faulted         Code = "faulted"         // the user's code failed, not ours
	Unavailable     Code = "unavailable"     // try again later
	Timeout         Code = "timeout"         // it took too long
	Internal        Code = "internal"        // we failed
)

// Codes lists every Code, for the tables that must know them all.
func Codes() []Code {
	return []Code{Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Exhausted, Faulted, Unavailable, Timeout, Internal}
}

// Error is the only error type that crosses a package boundary with meaning.
// Any other error is [Internal] to whoever receives it.
type Error struct {
	Code    Code              `json:"code"`
	Reason  string            `json:"reason"`           // stable, snake_case: domain_taken
	Message string            `json:"message"`          // for people; safe to show
	Hint    string            `json:"hint,omitempty"`   // what to do next, if known
	Fields  map[string]string `json:"fields,omitempty"` // what is wrong, per input field

	cause error // for logs; never leaves the process
}

// Error is the message, and the cause where there is one: it is for logs.
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

// With returns a copy of e whose message is formatted anew: the declaration
// says what kind of thing went wrong, the copy says to what.
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

// Errors that belong to no noun.
var (
	ErrInternal = &Error{Code: Internal, Reason: "internal", Message: "something went wrong on our side"}
	ErrInvalid  = &Error{Code: Invalid, Reason: "bad_request", Message: "the request is malformed"}
	ErrNotFound = &Error{Code: NotFound, Reason: "not_found", Message: "there is no such thing here"}
	ErrMethod   = &Error{Code: Invalid, Reason: "method_not_allowed", Message: "the resource does not take this method"}
	ErrTooLarge = &Error{Code: Invalid, Reason: "too_large", Message: "the body is larger than allowed"}

	// ErrArtifactDamaged is content that is not what its digest says: its bytes
	// changed on the disk.
	ErrArtifactDamaged = &Error{
		Code: Internal, Reason: "artifact_damaged", Message: "an artefact is damaged",
		Hint: "`lateen doctor --scrub` names the damaged artefacts and their deployments; restore them from a backup, or deploy again",
	}
	// ErrTeamStorage is an upload past the bound of its team's storage.
	ErrTeamStorage = &Error{
		Code: Exhausted, Reason: "team_storage_full", Message: "the files of this team's deployments take all the storage that a team may have",
		Hint: "remove deployments with `lateen rm`, whose files go within a day, or have --team-storage raised",
	}

	// ErrStorageFull is a write that found no room, or no more of a quota.
	ErrStorageFull = &Error{
		Code: Unavailable, Reason: "insufficient_storage", Message: "the platform's disk is full",
		Hint: "make room on the disk of the data directory: --log-bytes and --cache-bytes bound logs and pages, and what `lateen rm` removes goes within a day",
	}
)
