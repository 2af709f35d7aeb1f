package route

import (
	"net/http"
	"slices"
)

// Kind is the kind of response to a request.
type Kind int

// The kinds of response.
const (
	Error     Kind = iota // an error of the platform, with Status and Reason
	Static                // the file Output of the manifest
	Function              // the function behind Output
	Prerender             // the cached page of Output, or its function
	External              // the server at Target
	Redirect              // a redirect of the platform, with Status and Location
	Answer                // a middleware's own response
)

// String is the name of the kind in lower case, as in the request log.
func (k Kind) String() string {
	return [...]string{"error", "static", "function", "prerender", "external", "redirect", "answer"}[k]
}

// Reasons of decisions of kind [Error], in the form of an error's Reason; in upper
// case, they are the codes of the x-vercel-error header.
const (
	ReasonNotFound         = "not_found"                      // 404
	ReasonInfiniteLoop     = "infinite_loop_detected"         // 508
	ReasonMiddlewareFailed = "middleware_invocation_failed"   // 500
	ReasonRouteStatus      = "route_status"                   // a route set this status
	ReasonRouteTimeout     = "route_pattern_timeout"          // 500: a pattern took too long on this path
	ReasonRouteTooLong     = "route_text_too_long"            // 500: the routes write too much text for this request
	ReasonImages           = "invalid_image_optimize_request" // 400: the platform does not resize images
	ReasonDenied           = "forbidden"                      // 403: a route's mitigate refused the request
)

// Decision is the result of routing a request. The caller may add to Header and
// Important, but must not write to their values, which belong to the router;
// RequestHeader may be the request's own.
type Decision struct {
	Kind Kind

	// Output is the path of the chosen output in the manifest: a key of Files
	// (Static), Prerenders (Prerender) or Outputs (Function); "" for other kinds.
	Output string
	// MatchedPath is the value of the x-matched-path header that the output
	// receives: the value from phase hit, else Output, or "/" for "/index".
	MatchedPath string

	// Path and Query are the URL that the output's function sees: Path
	// percent-encoded, Query without "?". Path is the client's, unless a
	// middleware's rewrite, a request.path transform or a prerender (its output
	// path) changes it. Query includes the parameters of every rewrite.
	Path  string
	Query string
	// RouteMatches is the captures of the last rewrite before a Prerender, in the
	// form of the x-now-route-matches header: "1=hello&nxtPslug=hello", URL-encoded;
	// "" without captures.
	RouteMatches string

	// Target is the absolute URL of an External decision, including the query.
	Target string
	// IgnoreOriginCacheControl is true if the route makes a cache ignore the
	// Cache-Control of the External origin.
	IgnoreOriginCacheControl bool

	// Status overrides the status of the response; 0 leaves it to the output. For
	// Redirect and Error it is the status of the response.
	Status int
	// Location is the target of a Redirect: absolute or a path, including the query.
	Location string
	// Reason is the reason of an Error, or the error for which an error page of the
	// deployment was chosen. It is "" if a route only gives an output a status.
	Reason string

	// Header holds the response headers of routes and middleware that the output's
	// own headers override. Important holds those that override the output's own.
	// Set-Cookie and Vary always add. [Decision.Merge] applies the rule.
	Header    http.Header
	Important http.Header

	// RequestHeader is the header that the function or origin receives: the
	// request's own map if no route or middleware changed it.
	RequestHeader http.Header

	// Answer is the middleware's response of an Answer; nil for other kinds. The
	// caller closes its body.
	Answer *MiddlewareResponse

	// Cause is the failure of a middleware or a pattern, for logs; nil otherwise.
	Cause error

	transforms []change    // changes of the response, see Merge
	left       writeBudget // bytes that transforms may still write
}

// adds reports whether a response gets the values of a field from all sources, and
// not only from the last.
func adds(key string) bool { return key == "Set-Cookie" || key == "Vary" }

// added returns the values of a field together with more.
func added(key string, values, more []string) []string {
	if key == "Vary" {
		return AddVary(values, more...)
	}
	return append(slices.Clip(values), more...)
}

// Merge completes h, the header of the output's own response. Header applies to
// fields that h does not have, Important replaces fields, Set-Cookie and Vary always
// add. The response transforms of the last route with transforms follow, until they
// have used the bytes that they may write. The caller adds the platform's defaults,
// such as the cache-control of a file, afterwards.
func (d *Decision) Merge(h http.Header) {
	for key, values := range d.Header {
		if _, own := h[key]; !own || adds(key) {
			h[key] = added(key, h[key], values)
		}
	}
	for key, values := range d.Important {
		if adds(key) {
			h[key] = added(key, h[key], values)
		} else {
			h[key] = values
		}
	}
	left := d.left
	for i := range d.transforms {
		d.transforms[i].header(h, &left)
	}
}
