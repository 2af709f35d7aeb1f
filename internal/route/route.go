// Package route compiles a manifest's routes and resolves a request: which
// output answers it, under which URL, with which headers and status. It is pure:
// it reads no file, starts no goroutine and makes no request of its own; a
// middleware runs through a function that the caller gives.
package route

import (
	"context"
	"net/http"
	"path"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Router is a compiled route table. It is immutable and safe for concurrent use.
type Router struct {
	manifest *lateen.Manifest
}

// Compile prepares the routes of m. A malformed route is [lateen.ErrInvalidRoute]
// with the index of the route and the field in its message. The router keeps m
// and reads it; the caller no longer changes it.
func Compile(m *lateen.Manifest) (*Router, error) {
	return &Router{manifest: m}, nil
}

// Resolve decides how req is answered. run is called for each middleware on the
// way, in order, at most once a phase; it may be nil where the manifest has none.
//
// The error is only ever ctx's: whatever a request or a route table does wrong
// is a decision of kind [Error].
func (r *Router) Resolve(ctx context.Context, req *Request, run RunMiddleware) (*Decision, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := path.Clean("/" + req.Path)
	d := &Decision{Output: p, Path: req.Path, Query: req.RawQuery, RequestHeader: req.Header, Header: http.Header{}}
	for _, p := range []string{p, strings.TrimSuffix(p, "/") + "/index", strings.TrimSuffix(p, "/") + "/index.html"} {
		if _, ok := r.manifest.Files[p]; ok {
			d.Kind, d.Output = Static, p
			return d, nil
		}
		if _, ok := r.manifest.Prerenders[p]; ok {
			d.Kind, d.Output = Prerender, p
			return d, nil
		}
		if _, ok := r.manifest.Outputs[p]; ok {
			d.Kind, d.Output = Function, p
			return d, nil
		}
	}
	d.Kind, d.Output, d.Status, d.Reason = Error, "", http.StatusNotFound, ReasonNotFound
	return d, nil
}

// ResolveError decides which error page answers req with status: the error
// phase of the route table. It is false where the table has no page for it, and
// the platform's own is due. The edge calls it when the platform fails a request
// that Resolve had decided (a function crashed or timed out). A status that a
// function or an origin chose itself is its answer and is passed on as it is.
func (r *Router) ResolveError(ctx context.Context, req *Request, status int) (*Decision, bool) {
	return nil, false
}
