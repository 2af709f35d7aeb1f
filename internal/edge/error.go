package edge

import (
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

// Errors of the edge itself. The table in error_page.go maps their reasons, and
// those of other packages, to error pages.
var (
	errFunctionToAPI    = &lateen.Error{Code: lateen.Forbidden, Reason: "function_calls_api", Message: "functions cannot call the platform's API", Hint: "call it from outside of the platform, such as from CI"}
	errUnknownHost      = lateen.ErrDeploymentNotFound.With("no deployment has this host")
	errRange            = &lateen.Error{Code: lateen.Invalid, Reason: "range_not_satisfiable", Message: "the requested range is outside of the file"}
	errPrecondition     = &lateen.Error{Code: lateen.Conflict, Reason: "precondition_failed", Message: "the file does not match the condition of the request"}
	errStalled          = &lateen.Error{Code: lateen.Invalid, Reason: "request_timeout", Message: "the request's body stalled"}
	errLoading          = &lateen.Error{Code: lateen.Unavailable, Reason: "site_loading", Message: "too many sites of this team are being loaded at once", Hint: "try again in a moment"}
	errOverloaded       = &lateen.Error{Code: lateen.Unavailable, Reason: "overloaded", Message: "the memory for buffered bodies is used up"}
	errTooManyRequests  = errOverloaded.With("the limit of concurrent requests is reached")
	errResponseTooLarge = &lateen.Error{Code: lateen.Faulted, Reason: "function_response_payload_too_large", Message: "the function's response exceeds the size limit of responses without streaming"}
	errTruncated        = &lateen.Error{Code: lateen.Faulted, Reason: "response_cut_short", Message: "the response ended early"}
	errEdgeFailed       = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_failed", Message: "the edge function crashed"}
	errEdgeTimeout      = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_timeout", Message: "the edge function did not answer in time"}
	errMiddleware       = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_failed", Message: "the middleware crashed"}
	errMiddlewareTime   = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_timeout", Message: "the middleware did not answer in time"}
	errOrigin           = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_error", Message: "the origin of an external rewrite could not be reached"}
	errOriginTimeout    = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_timeout", Message: "the origin of an external rewrite did not answer in time"}
	errLoop             = &lateen.Error{Code: lateen.Faulted, Reason: "infinite_loop_detected", Message: "the request is part of a loop"}
)

// ErrOriginRefused is the error of [Options.DialOrigin] for an origin that may not be reached.
var ErrOriginRefused = &lateen.Error{Code: lateen.Forbidden, Reason: "router_external_target_refused", Message: "the origin of an external rewrite has an address that sites may not reach", Hint: "allow it with `lateen up --function-networks <network>`, or with `--function-host-ports <port>` for this host"}

// loopError replaces the error of a page whose fill would wait for itself with
// the error of a request loop.
func loopError(err error) error {
	if errors.Is(err, cache.ErrCircle) {
		return errLoop.Because(err)
	}
	return err
}

// edgeFault replaces an error of user code with that of an edge function.
func edgeFault(err error) error { return renamed(err, errEdgeFailed, errEdgeTimeout) }

// middlewareFault replaces an error of user code with that of a middleware.
func middlewareFault(err error) error { return renamed(err, errMiddleware, errMiddlewareTime) }

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

// truncated attributes err, an error of reading a response's body, to the sender
// of the response.
func truncated(err error) error {
	if _, ok := errors.AsType[*lateen.Error](err); ok {
		return err
	}
	return errTruncated.Because(err)
}
