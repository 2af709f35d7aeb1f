// Package route compiles a manifest's routes and resolves a request: its output,
// URL, headers and status. It has no side effects: it reads no file, starts no
// goroutine and sends no request of its own; a middleware runs through a function of
// the caller.
//
// # Paths
//
// Routes and outputs are matched with one canonical form of the path, for every
// encoding by the client: decoded, slashes collapsed, dot segments removed, while
// '/', '\\', '?', '#', '%', control characters and invalid UTF-8 stay encoded where
// they are. A src that does not match it may match the form of a URL ("/caf%C3%A9").
// A src is anchored at both ends and ignores case unless caseSensitive is set; its
// captures are encoded again for their destination: a Location, an origin's URL, a
// query. The output itself sees the path as the client sent it, without dot
// segments.
//
// An encoded slash is no separator, and a src such as "/private/.*" does not match
// "/private%2Fx". Some interfaces of programs (WSGI, ASGI, CGI) decode it all the
// same, so a route that may keep a request from an output also applies to
// "/private%2Fx": one with a middleware or mitigate, or with a status from 300 on
// and a constant dest or Location.
//
// An output answers its path with and without a trailing slash; "/index" answers
// "/", and "/a/index", "/a/index.html" or an index of another extension answers
// "/a". Paths of outputs are case-sensitive. Middlewares, and functions that a queue
// or schedule calls, have no path.
package route

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cputime"
)

// Router is a compiled route table. It is immutable and safe for concurrent use.
type Router struct {
	table     [phases][]rule
	outputs   outputs
	wildcards map[string]string // value by domain
	bypass    map[string]*Conditions
	weight    int64
}

// Compile compiles the routes of m and the conditions of its prerenders. The error
// for a malformed route, or for one with which the table takes too much memory, is
// [lateen.ErrInvalidRoute] with the index of the route and the field in its message.
// The router reads m later on; the caller must not change it any more.
func Compile(m *lateen.Manifest) (*Router, error) {
	return compile(m, &budget{bytes: maxTable})
}

// Prove is [Compile] for a deployment that is not accepted yet: it also rejects a
// table that takes too much processor time to compile. An accepted table is not
// rejected later on a slower machine.
func Prove(m *lateen.Manifest) (*Router, error) {
	runtime.LockOSThread() // the time of this thread is measured
	defer runtime.UnlockOSThread()
	return compile(m, &budget{bytes: maxTable, cpu: maxCPU, clock: cputime.Thread})
}

func compile(m *lateen.Manifest, b *budget) (*Router, error) {
	r, p := &Router{}, patterns{}
	var err error
	if r.table, err = compileTable(m, b, p); err != nil {
		return nil, err
	}
	if r.bypass, err = compileBypass(m, b, p); err != nil {
		return nil, err
	}
	r.weight = maxTable - b.bytes
	hidden := map[string]bool{} // a middleware has no URL of its own
	for i := range m.Routes {
		if p := m.Routes[i].MiddlewarePath; p != "" {
			if _, ok := m.Outputs[rooted(p)]; !ok {
				return nil, invalid(i, "middlewarePath", fmt.Errorf("function %s not found", rooted(p)))
			}
			hidden[rooted(p)] = true
		}
	}
	r.outputs = newOutputs(m, hidden)
	if len(m.Wildcards) > 0 {
		r.wildcards = make(map[string]string, len(m.Wildcards))
	}
	for _, w := range m.Wildcards {
		r.wildcards[strings.ToLower(w.Domain)] = w.Value
	}
	return r, nil
}

// Resolve decides how to answer req. It calls run for each middleware in order, at
// most once each; run may be nil if the manifest has none.
//
// The platform's own paths for images, /_next/image and /_vercel/image, come before
// every route, and wherever a route leads to one. A GET or HEAD whose path has "//"
// is redirected to the path without (308); for other methods the slashes collapse
// silently. Dot segments are resolved silently: the output must not see another path
// than the routes that guard it. Then, in order:
//
//  1. The routes before any handle. Then an output at the current path of the
//     request; if there is none, the routes of phase miss may lead to one.
//  2. Phase filesystem, then an output as before; if there is none, the routes of
//     phase rewrite may lead to one (these have the dynamic routes).
//  3. Phase resource, and the same search again.
//  4. With an output: the headers of phase hit. Without: 404.
//  5. For a 404 or a route's status ≥ 400: phase error, for a page.
//
// In a phase the routes are tried in order. A matching route sets its headers and
// status, continues at its dest and ends the phase; with continue the next routes
// are tried at the new path; with check an output is looked for at once (as in step
// 2; in phase rewrite as in step 1; in phase miss at the path only), and if there is
// none the next routes are tried. Phases miss and rewrite have no effect if they
// lead to no output, except for the 404 of a route in phase miss. A status of 3xx
// with a Location or dest redirects at once, a dest on another host is requested at
// once. Any other status without a dest is an error if no output is found; an output
// that exists is sent, with that status. A route that is to keep an output from
// being sent must lead elsewhere by its dest.
//
// A route's transforms of the request run when it matches, before its dest: deleting
// a parameter there deletes the client's and not the dest's.
//
// Later headers replace earlier ones, but in the phases hit and miss those of
// earlier phases stay; Set-Cookie and Vary add. The parameters of a dest replace
// those of the request under the same names, so that a client cannot forge a
// parameter that a route sets. A route's override has no further meaning and is
// ignored; middlewareRawSrc and middleware are for display.
//
// The error is always that of ctx: any fault of a request or a route table is a
// decision of kind [Error].
func (r *Router) Resolve(ctx context.Context, req *Request, run RunMiddleware) (*Decision, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := newWalk(r, req, run)
	if strings.Contains(w.path, "//") {
		if req.Method == http.MethodGet || req.Method == http.MethodHead {
			w.redirect(http.StatusPermanentRedirect, w.at.encoded)
			return &w.Decision, nil
		}
		w.path = w.at.encoded
	}
	if (strings.Contains(w.path, "/.") || strings.Contains(w.path, "%2")) && dotSegments(w.path) > 0 {
		w.path = w.at.encoded
	}
	if forImages(w.at.path) {
		w.fail(http.StatusBadRequest, ReasonImages)
		return &w.Decision, nil
	}
	w.resolve(ctx)
	if w.err != nil {
		return nil, w.err
	}
	return &w.Decision, nil
}

// ResolveError returns the error page for req with status, from the error phase of
// the route table. It returns false if the table has no page for it; the caller then
// sends the platform's own. The edge calls it when the platform fails a request that
// Resolve had decided (a function crashed or timed out). An error status of a
// function or an origin is a response like any other and is forwarded.
func (r *Router) ResolveError(_ context.Context, req *Request, status int) (*Decision, bool) {
	w := newWalk(r, req, nil)
	w.fail(status, "")
	return &w.Decision, w.Kind != Error
}
