package route

import (
	"context"
	"io"
	"net/http"
)

// Request is the part of a request that routing reads. Resolve does not change it.
type Request struct {
	Method   string
	Scheme   string      // http or https, as the client used it
	Host     string      // as the client sent it; conditions ignore a port
	Path     string      // percent-encoded, as received; "" is "/"
	RawQuery string      // without "?", as received
	Header   http.Header // canonical keys; Host is not among them

	// Platform returns the value of a request header field (canonical key) that the
	// platform sets for outputs and removes from clients' requests, such as
	// X-Forwarded-Proto; "" for any other. Conditions read it. nil means that there
	// are none.
	Platform func(key string) string

	// Env holds the values of the variables that routes name in their env fields;
	// others are never read. nil means that all of them are empty.
	Env map[string]string
}

// RunMiddleware invokes the middleware whose output is at path output with the
// current request: headers that an earlier middleware overrode are overridden, path
// and query are those of the client unless a middleware rewrote them. The path is in
// the canonical form, with which routes and outputs are compared: a middleware that
// compares paths itself sees "/admin" for "/%61dmin", like the rest of the routing.
//
// An error of type [lateen.Error] gives the decision its reason, any other is
// middleware_invocation_failed; both end the request with a 500.
type RunMiddleware func(ctx context.Context, output string, req *Request) (*MiddlewareResponse, error)

// MiddlewareResponse is the response of a middleware. nil means that the middleware
// returned no response: the request continues.
type MiddlewareResponse struct {
	Status int
	Header http.Header // canonical keys
	// An empty body may be nil. Resolve never reads it and closes
	// it unless the response becomes [Decision.Answer].
	Body io.ReadCloser
}
