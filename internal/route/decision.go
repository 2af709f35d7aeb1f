package route

import (
	"net/http"
	"slices"
)

// Kind says what answers a request.
type Kind int

// The kinds of answer.
const (
	Error     Kind = iota // the platform, with Status and Reason
	Static                // the file Output of the manifest
	Function              // the function behind Output
	Prerender             // the kept response of Output, or its function
	External              // the server at Target
	Redirect              // the platform, with Status and Location
	Answer                // a middleware's own response
)

// String is the name of the kind in lower case, as records have it.
func (k Kind) String() string {
	return [...]string{"error", "static", "function", "prerender", "external", "redirect", "answer"}[k]
}

// Reasons of decisions of kind [Error], in the form of an error's Reason; upper
// case, they are the codes of the x-vercel-error header.
const (
	ReasonNotFound         = "not_found"                      // 404
	ReasonInfiniteLoop     = "infinite_loop_detected"         // 508
	ReasonMiddlewareFailed = "middleware_invocation_failed"   // 500
	ReasonRouteStatus      = "route_status"                   // a route asked for this status
	ReasonRouteTimeout     = "route_pattern_timeout"          // 500: a pattern took too long on this path
	ReasonRouteTooLong     = "route_text_too_long"            // 500: routes make too much of this request
	ReasonImages           = "invalid_image_optimize_request" // 400: images are not resized here
	ReasonDenied           = "forbidden"                      // 403: a route's mitigate refused the request
)

// Decision is how a request is answered. The caller may add to Header and
// Important, but not write to their values, which are the router's; RequestHeader
// may be the request's own.
type Decision struct {
	Kind Kind

	// Output is the path of the chosen output in the manifest: a key of Files
	// (Static), Prerenders (Prerender) or Outputs (Function); "" for other kinds.
	Output string
	// MatchedPath is the value of the x-matched-path header that the output
	// receives: what phase hit says of the output in that header, else Output, or "/" for
	// "/index".
	MatchedPath string

	// Path and Query are the URL that the output's function sees: Path
	// percent-encoded, Query without "?". Path is the client's; only a middleware's
	// rewrite, a request.path transform and a prerender (its output path) change
	// it. Query has the parameters of every rewrite on the way merged in.
	Path  string
	Query string
	// RouteMatches is what the last rewrite on the way to a Prerender captured, in
	// the form of the x-now-route-matches header: "1=hello&nxtPslug=hello",
	// URL-encoded; "" where it captured nothing.
	RouteMatches string

	// Target is the absolute URL of an External answer, query merged in.
	Target string
	// IgnoreOriginCacheControl is true where the route tells a cache to
	// disregard what the External origin says in Cache-Control.
	IgnoreOriginCacheControl bool

	// Status is forced on the response; 0 leaves it to the output. For Redirect
	// and Error it is the status to answer with.
	Status int
	// Location is where a Redirect points: absolute or a path, query included.
	Location string
	// Reason says why the kind is Error, or which error an error page of the
	// deployment is for. It is "" where a route just gives an output a status.
	Reason string

	// Header holds response headers of routes and middleware that the output's
	// own headers win over; Important those that win over the output's own.
	// Set-Cookie and Vary always add. [Decision.Merge] applies the rule.
	Header    http.Header
	Important http.Header

	// RequestHeader is the header that the function or origin receives: the
	// request's own map where nothing changed it.
	RequestHeader http.Header

	// Answer is the middleware's response of an Answer; nil for other kinds. The
	// caller closes its body.
	Answer *MiddlewareResponse

	// Cause is what made a middleware or a pattern fail, for logs; nil otherwise.
	Cause error

	transforms []change // of the response, see Merge
	left       room     // for what they write
}

// adds reports whether a response has the values of a field by everything that
// sets it, and not the values of the last.
func adds(key string) bool { return key == "Set-Cookie" || key == "Vary" }

// added returns the values of a field with more among them.
func added(key string, values, more []string) []string {
	if key == "Vary" {
		return AddVary(values, more...)
	}
	return append(slices.Clip(values), more...)
}

// Merge completes h, the header of the output's own response: Header is added
// where h has nothing, Important replaces, Set-Cookie and Vary always add; last come the
// response transforms of the last route that had transforms, as long as there is
// room for what they write. Defaults of the
// platform (cache-control of a file, say) are to be added after.
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
