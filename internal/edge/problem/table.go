package problem

import "github.com/lateen-dev/lateen"

// Blame is the party that caused an error.
type Blame string

// The parties that cause errors.
const (
	ByRequest  Blame = "request"
	ByCode     Blame = "code"
	ByPlatform Blame = "platform"
	ByOrigin   Blame = "origin"
)

// Problem is an error as a client sees it. It has no part of the error's message,
// which may quote output of user code.
type Problem struct {
	Reason string
	Status int
	Code   string // value of x-vercel-error
	Blame  Blame

	title   string
	next    string // remedy; the page replaces ID in "--request ID" with the request's ID
	retryIn int    // seconds for Retry-After; 0 sends no such field
}

// problems maps the reason of an error to its page. byCode has the pages of
// reasons that are missing here.
var problems = map[string]Problem{
	"deployment_not_found": {Status: 404, Code: "DEPLOYMENT_NOT_FOUND", Blame: ByRequest, title: "This deployment could not be found", next: "Check the address. If the deployment is yours, `lateen ls` shows its address; it may have been removed."},
	"deployment_not_ready": {Status: 503, Code: "DEPLOYMENT_NOT_READY", Blame: ByPlatform, title: "This deployment is not ready yet", next: "Try again in a moment.", retryIn: 5},
	"not_found":            {Status: 404, Code: "NOT_FOUND", Blame: ByRequest, title: "This page could not be found", next: "Check the address, or start from the front page."},
	"bad_request":          {Status: 400, Code: "BAD_REQUEST", Blame: ByRequest, title: "The request is malformed", next: "Check the address."},
	"forbidden":            {Status: 403, Code: "FORBIDDEN", Blame: ByRequest, title: "This request is not allowed", next: "The site's own rules refuse it."},
	"function_calls_api":   {Status: 403, Code: "FORBIDDEN", Blame: ByCode, title: "Functions cannot call the platform's API", next: "Call it from outside of the platform, such as from CI."},
	"method_not_allowed":   {Status: 405, Code: "METHOD_NOT_ALLOWED", Blame: ByRequest, title: "This method is not allowed for this page", next: "Use GET or HEAD."},
	"request_timeout":      {Status: 408, Code: "REQUEST_TIMEOUT", Blame: ByRequest, title: "The request stalled", next: "Send it again."},
	"precondition_failed":  {Status: 412, Code: "PRECONDITION_FAILED", Blame: ByRequest, title: "The file has changed", next: "Fetch it again."},
	"range_not_satisfiable": {
		Status: 416, Code: "RANGE_NOT_SATISFIABLE", Blame: ByRequest, title: "The requested range is outside of the file", next: "Fetch it again.",
	},
	"function_payload_too_large": {Status: 413, Code: "FUNCTION_PAYLOAD_TOO_LARGE", Blame: ByRequest, title: "The request is too large", next: "Send a smaller body."},

	"function_invocation_failed":          {Status: 500, Code: "FUNCTION_INVOCATION_FAILED", Blame: ByCode, title: "This function has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"function_invocation_timeout":         {Status: 504, Code: "FUNCTION_INVOCATION_TIMEOUT", Blame: ByCode, title: "This function took too long", next: "If the site is yours: make it answer sooner, or raise its maxDuration."},
	"no_response_from_function":           {Status: 502, Code: "NO_RESPONSE_FROM_FUNCTION", Blame: ByCode, title: "This function sent no response", next: "If the site is yours, `lateen logs --request ID` shows what it did."},
	"function_response_payload_too_large": {Status: 500, Code: "FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE", Blame: ByCode, title: "The response of this function is too large", next: "If the site is yours: stream the response."},
	"response_cut_short":                  {Status: 502, Code: "NO_RESPONSE_FROM_FUNCTION", Blame: ByCode, title: "The response of this function ended early", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"function_runtime_unsupported":        {Status: 501, Code: "FUNCTION_RUNTIME_UNSUPPORTED", Blame: ByCode, title: "This function cannot run here", next: "The platform does not have the runtime it was built for."},
	"edge_function_invocation_failed":     {Status: 500, Code: "EDGE_FUNCTION_INVOCATION_FAILED", Blame: ByCode, title: "This edge function has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"edge_function_invocation_timeout":    {Status: 504, Code: "EDGE_FUNCTION_INVOCATION_TIMEOUT", Blame: ByCode, title: "This edge function took too long", next: "If the site is yours: make it answer sooner."},
	"middleware_invocation_failed":        {Status: 500, Code: "MIDDLEWARE_INVOCATION_FAILED", Blame: ByCode, title: "The site's middleware has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"middleware_invocation_timeout":       {Status: 504, Code: "MIDDLEWARE_INVOCATION_TIMEOUT", Blame: ByCode, title: "The site's middleware took too long", next: "If the site is yours: make it answer sooner."},
	"infinite_loop_detected":              {Status: 508, Code: "INFINITE_LOOP_DETECTED", Blame: ByCode, title: "This site requests itself in a loop", next: "If the site is yours: look for functions that call themselves, and for rewrites that lead back to themselves."},
	"route_pattern_timeout":               {Status: 500, Code: "ROUTE_PATTERN_TIMEOUT", Blame: ByCode, title: "The site's routes took too long", next: "If the site is yours: simplify the pattern of the route that matches this path."},
	"route_text_too_long":                 {Status: 500, Code: "ROUTE_TEXT_TOO_LONG", Blame: ByCode, title: "The site's routes make this address too long", next: "If the site is yours: look for rewrites, headers and transforms that repeat a parameter."},

	"invalid_image_optimize_request": {Status: 400, Code: "INVALID_IMAGE_OPTIMIZE_REQUEST", Blame: ByCode, title: "Images are not resized here", next: "If the site is yours: have its framework leave images as they are, such as with `images: { unoptimized: true }` in next.config."},

	"router_external_target_error":   {Status: 502, Code: "ROUTER_EXTERNAL_TARGET_ERROR", Blame: ByOrigin, title: "The server behind this page cannot be reached", next: "Try again in a while."},
	"router_external_target_timeout": {Status: 504, Code: "ROUTER_EXTERNAL_TARGET_ERROR", Blame: ByOrigin, title: "The server behind this page took too long", next: "Try again in a while."},
	"router_external_target_refused": {Status: 502, Code: "ROUTER_EXTERNAL_TARGET_REFUSED", Blame: ByCode, title: "The server behind this page may not be reached", next: "If the platform is yours, its configuration can allow the address of this rewrite."},

	"function_throttled":    {Status: 503, Code: "FUNCTION_THROTTLED", Blame: ByPlatform, title: "This function is busy", next: "Try again in a moment.", retryIn: 1},
	"function_start_failed": {Status: 503, Code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "This function could not be started", next: "Try again in a moment.", retryIn: 1},
	"worker_unreachable":    {Status: 503, Code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "Functions are not available now", next: "Try again in a moment.", retryIn: 1},
	"worker_stopping":       {Status: 503, Code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "Functions are not available now", next: "Try again in a moment.", retryIn: 1},
	"worker_incompatible":   {Status: 503, Code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "Functions are not available now", next: "Try again in a moment.", retryIn: 1},
	"worker_lost":           {Status: 502, Code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "This function was interrupted", next: "Try again. If the request changes something, check first whether it has."},
	"overloaded":            {Status: 503, Code: "OVERLOADED", Blame: ByPlatform, title: "The platform is busy", next: "Try again in a moment.", retryIn: 1},
	"internal":              {Status: 500, Code: "INTERNAL_SERVER_ERROR", Blame: ByPlatform, title: "Internal server error", next: "Try again. If the error persists, give this request ID to the operator of this platform."},
}

// byCode maps the code of an error to its page, for reasons that problems lacks.
var byCode = map[lateen.Code]Problem{
	lateen.Invalid:         {Status: 400, Code: "BAD_REQUEST", Blame: ByRequest, title: "The request is malformed", next: "Check the address."},
	lateen.Unauthenticated: {Status: 401, Code: "UNAUTHORIZED", Blame: ByRequest, title: "Authentication is required", next: "Log in first."},
	lateen.Forbidden:       {Status: 403, Code: "FORBIDDEN", Blame: ByRequest, title: "This request is not allowed", next: "The site's own rules refuse it."},
	lateen.NotFound:        {Status: 404, Code: "NOT_FOUND", Blame: ByRequest, title: "This page could not be found", next: "Check the address, or start from the front page."},
	lateen.Conflict:        {Status: 409, Code: "CONFLICT", Blame: ByRequest, title: "The request conflicts with the current state", next: "Fetch it again."},
	lateen.Exhausted:       {Status: 429, Code: "TOO_MANY_REQUESTS", Blame: ByRequest, title: "Too many requests", next: "Try again in a moment.", retryIn: 1},
	lateen.Faulted:         {Status: 500, Code: "FUNCTION_INVOCATION_FAILED", Blame: ByCode, title: "The site's code has failed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	lateen.Unavailable:     {Status: 503, Code: "SERVICE_UNAVAILABLE", Blame: ByPlatform, title: "This is not available now", next: "Try again in a moment.", retryIn: 1},
	lateen.Timeout:         {Status: 504, Code: "GATEWAY_TIMEOUT", Blame: ByPlatform, title: "This took too long", next: "Try again in a moment."},
	lateen.Internal:        {Status: 500, Code: "INTERNAL_SERVER_ERROR", Blame: ByPlatform, title: "Internal server error", next: "Try again. If the error persists, give this request ID to the operator of this platform."},
}
