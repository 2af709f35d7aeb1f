package edge

import (
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

// Errors of the edge itself. Their reasons, and those of others, become pages
// by the table in error_page.go.
var (
	errFunctionToAPI    = &lateen.Error{Code: lateen.Forbidden, Reason: "function_calls_api", Message: "functions cannot call the platform's API", Hint: "call it from outside of the platform, such as from CI"}
	errUnknownHost      = lateen.ErrDeploymentNotFound.With("no deployment has this host")
	errRange            = &lateen.Error{Code: lateen.Invalid, Reason: "range_not_satisfiable", Message: "the range asked for lies outside of the file"}
	errPrecondition     = &lateen.Error{Code: lateen.Conflict, Reason: "precondition_failed", Message: "the file is not the one the request expects"}
	errStalled          = &lateen.Error{Code: lateen.Invalid, Reason: "request_timeout", Message: "the request's body stopped coming"}
	errLoading          = &lateen.Error{Code: lateen.Unavailable, Reason: "site_loading", Message: "too many sites of this team are being loaded at once", Hint: "try again in a moment"}
	errOverloaded       = &lateen.Error{Code: lateen.Unavailable, Reason: "overloaded", Message: "the platform holds all the bodies it can"}
	errCrowded          = errOverloaded.With("as many requests are under way as there may be")
	errResponseTooLarge = &lateen.Error{Code: lateen.Faulted, Reason: "function_response_payload_too_large", Message: "the function's response is larger than a response that is not streamed may be"}
	errCutShort         = &lateen.Error{Code: lateen.Faulted, Reason: "response_cut_short", Message: "the response broke off"}
	errEdgeFailed       = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_failed", Message: "the edge function crashed"}
	errEdgeTimeout      = &lateen.Error{Code: lateen.Faulted, Reason: "edge_function_invocation_timeout", Message: "the edge function did not answer in time"}
	errMiddleware       = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_failed", Message: "the middleware crashed"}
	errMiddlewareTime   = &lateen.Error{Code: lateen.Faulted, Reason: "middleware_invocation_timeout", Message: "the middleware did not answer in time"}
	errOrigin           = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_error", Message: "the origin of an external rewrite could not be reached"}
	errOriginTimeout    = &lateen.Error{Code: lateen.Faulted, Reason: "router_external_target_timeout", Message: "the origin of an external rewrite did not answer in time"}
	errLoop             = &lateen.Error{Code: lateen.Faulted, Reason: "infinite_loop_detected", Message: "the request came back to the platform again and again"}
)

// ErrOriginRefused is the error of [Options.DialOrigin] for an origin that may not be reached.
var ErrOriginRefused = &lateen.Error{Code: lateen.Forbidden, Reason: "router_external_target_refused", Message: "the origin of an external rewrite is an address that may not be reached from here", Hint: "lateen up --function-networks <network>, or --function-host-ports <port> for this host"}

// inCircle gives a page that would wait for itself the name that requests have
// which run in a circle.
func inCircle(err error) error {
	if errors.Is(err, cache.ErrCircle) {
		return errLoop.Because(err)
	}
	return err
}

// edgeFault gives a fault of an edge function its own name.
func edgeFault(err error) error { return renamed(err, errEdgeFailed, errEdgeTimeout) }

// middlewareFault gives a fault of a middleware its own name.
func middlewareFault(err error) error { return renamed(err, errMiddleware, errMiddlewareTime) }

// renamed returns err as failed or late where user code failed or was late, and
// err itself where it was not user code.
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

// brokenOff is err, met while reading a response's body, as the fault of
// whatever sends it.
func brokenOff(err error) error {
	if _, ok := errors.AsType[*lateen.Error](err); ok {
		return err
	}
	return errCutShort.Because(err)
}
