package problem

import (
	"errors"

	"github.com/lateen-dev/lateen"
)

// Errors of the edge itself. The table in table.go maps their reasons, and those of
// other packages, to error pages.
var (
	ErrFunctionToAPI    = &lateen.Error{Code: lateen.Forbidden, Reason: "function_calls_api", Message: "functions cannot call the platform's API", Hint: "call it from outside of the platform, such as from CI"}
	ErrUnknownHost      = lateen.ErrDeploymentNotFound.With("no deployment has this host")
	ErrRange            = &lateen.Error{Code: lateen.Invalid, Reason: "range_not_satisfiable", Message: "the requested range is outside of the file"}
	ErrPrecondition     = &lateen.Error{Code: lateen.Conflict, Reason: "precondition_failed", Message: "the file does not match the condition of the request"}
	ErrStalled          = &lateen.Error{Code: lateen.Invalid, Reason: "request_timeout", Message: "the request's body stalled"}
	ErrLoading          = &lateen.Error{Code: lateen.Unavailable, Reason: "site_loading", Message: "too many sites of this team are being loaded at once", Hint: "try again in a moment"}
	ErrOverloaded       = &lateen.Error{Code: lateen.Unavailable, Reason: "overloaded", Message: "the memory for buffered bodies is used up"}
	ErrTooManyRequests  = ErrOverloaded.With("the limit of concurrent requests is reached")
	ErrResponseTooLarge = &lateen.Error{Code: lateen.Faulted, Reason: "function_response_payload_too_large", Message: "the function's response exceeds the size limit of responses without streaming"}
	errTruncated        = &lateen.Error{Code: lateen.Faulted, Reason: "response_cut_short", Message: "the response ended early"}
	errEdgeFailed       = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_failed", Message: "the edge function crashed"}
	errEdgeTimeout      = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_timeout", Message: "the edge function did not answer in time"}
	ErrMiddleware       = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_failed", Message: "the middleware crashed"}
	errMiddlewareTime   = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_timeout", Message: "the middleware did not answer in time"}
	ErrOrigin           = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_error", Message: "the origin of an external rewrite could not be reached"}
	ErrOriginTimeout    = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_timeout", Message: "the origin of an external rewrite did not answer in time"}
	ErrLoop             = &lateen.Error{Code: lateen.Faulted, Reason: "infinite_loop_detected", Message: "the request is part of a loop"}
)

// ErrOriginRefused is the error for an origin that may not be reached.
var ErrOriginRefused = &lateen.Error{Code: lateen.Forbidden, Reason: "router_external_target_refused", Message: "the origin of an external rewrite has an address that sites may not reach", Hint: "allow it with `lateen up --function-networks <network>`, or with `--function-host-ports <port>` for this host"}

// OfEdge replaces an error of user code with that of an edge function.
func OfEdge(err error) error { return renamed(err, errEdgeFailed, errEdgeTimeout) }

// OfMiddleware replaces an error of user code with that of a middleware.
func OfMiddleware(err error) error { return renamed(err, ErrMiddleware, errMiddlewareTime) }

// renamed returns late for a timeout of user code, failed for any other error of
// user code, and err itself for an error of other origin.
func renamed(err error, failed, late *lateen.Error) error {
	switch {
	case errors.Is(err, lateen.ErrFunctionTimeout), errors.Is(err, errEdgeTimeout):
		return late.Because(err)
	case lateen.CodeOf(err) == lateen.Faulted:
		return failed.Because(err)
	default:
		return err
	}
}

// Truncated attributes err, an error of reading a response's body, to the sender
// of the response.
func Truncated(err error) error {
	if _, ok := errors.AsType[*lateen.Error](err); ok {
		return err
	}
	return errTruncated.Because(err)
}

// fieldError is an error whose response has a further header field.
type fieldError struct {
	error

	name, value string
}

// Unwrap returns the error itself.
func (e *fieldError) Unwrap() error { return e.error }

// WithField returns err for a response with a further header field.
func WithField(err error, name, value string) error { return &fieldError{err, name, value} }

// Field returns the further header field for the response to err, if there is one.
func Field(err error) (name, value string, ok bool) {
	if e, ok := errors.AsType[*fieldError](err); ok {
		return e.name, e.value, true
	}
	return "", "", false
}
