package edge

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/server"
)

// ServeHTTP answers a request for any host; a function's request to the API gets an
// error. ServeHTTP removes the fields that clients may not send, and panics with
// [http.ErrAbortHandler] if it cannot finish a response that has begun.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := server.ConnectionOf(r.Context())
	c.Enter()
	from := e.clients.Of(r)
	leave, admitted := e.server.Admit(c, from.Addr)
	paced := newWriter(w, r, e.o.StallTimeout)
	refused := !admitted && c.Refuse()
	defer paced.afterResponse(func() { leave(); c.Leave(paced.http2, refused) })
	if !admitted && !refused {
		panic(http.ErrAbortHandler) // only one refusal at a time per connection: a client that reads none would make them pile up
	}
	paced.server = e.server
	toAPI := e.o.API != nil && e.isAPI(from.Hostname)
	if admitted && toAPI && !from.Internal {
		body := newUpload(paced, r, 0)
		defer body.end(true)
		r = body.request(r)
		if e.o.TrustedProxies != nil && from.IP != "" {
			r = r.WithContext(r.Context()) // a copy
			r.RemoteAddr = net.JoinHostPort(from.IP, "0")
		}
		e.o.API.ServeHTTP(paced, r)
		return
	}
	x := e.newExchange(paced, r, from)
	defer x.end()
	switch {
	case !admitted:
		x.fail(problem.ErrTooManyRequests)
	case toAPI:
		x.fail(problem.ErrFunctionToAPI)
	default:
		x.serve()
	}
}

// serve finds the site, routes the request and answers it.
func (x *exchange) serve() {
	const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	switch {
	case x.req.Method == http.MethodConnect || x.req.Method == http.MethodTrace: // the edge is no forward proxy, and echoes no request
		x.fail(problem.WithField(lateen.ErrMethod, "Allow", methods))
		return
	case x.req.RequestURI == "*" && x.req.Method == http.MethodOptions: // the options of the server itself: RFC 9110 §9.3.7
		x.respond(http.StatusOK, http.Header{"Allow": {methods}, "Content-Length": {"0"}}, nil)
		return
	}
	if err := checkAuthority(x.req, x.Client.Host); err != nil {
		x.fail(err)
		return
	}
	ctx := x.req.Context()
	to, err := x.enter(ctx)
	if err != nil {
		x.fail(err)
		return
	}
	if x.Hops >= call.MaxHops {
		x.fail(problem.ErrLoop)
		return
	}
	if to.Redirect != "" {
		x.redirect(http.StatusTemporaryRedirect, x.locationOn(to.Redirect))
		return
	}
	d, err := x.Site.Router.Resolve(ctx, x.RouteRequest(x.req), x.runMiddleware)
	if err != nil {
		x.fail(err)
		return
	}
	x.answer(d)
}

// enter finds the binding of the request's host and its site.
func (x *exchange) enter(ctx context.Context) (lateen.Binding, error) {
	to, ok := x.edge.hosts.Get(x.Client.Hostname)
	if !ok {
		return to, problem.ErrUnknownHost
	}
	s, err := x.edge.sites.Get(ctx, to.Deployment)
	if err != nil {
		return to, err
	}
	x.Site = s
	x.record.Team, x.record.Project, x.record.Deployment = s.Team, s.Project, s.Deployment
	x.record.Target, x.record.Branch = s.Target, s.Branch
	x.first = server.ConnectionOf(ctx).Asks()
	return to, nil
}

// answer serves the decision d.
func (x *exchange) answer(d *route.Decision) {
	x.decision = d
	x.record.Output = d.Output
	if d.Reason != "" {
		x.explain(d)
	}
	if err := x.output(d); err != nil {
		x.fail(err)
	}
}

// output answers with the output of d. It returns an error if it has not answered.
func (x *exchange) output(d *route.Decision) error {
	switch d.Kind {
	case route.Static:
		return x.serveStatic(d)
	case route.Function:
		return x.serveFunction(d)
	case route.Prerender:
		return x.servePrerender(d)
	case route.External:
		return x.serveExternal(d)
	case route.Redirect:
		x.redirect(d.Status, d.Location)
	case route.Answer:
		x.record.Kind = kindMiddleware
		x.respond(d.Answer.Status, d.Answer.Header, d.Answer.Body)
	default:
		x.errorPage(*x.problem) // the routes lead to no error page of the deployment
	}
	return nil
}

// explain notes the error for which routing chose d. If the deployment has a page
// of its own for an error of the request, such as a 404, the record gets no error.
func (x *exchange) explain(d *route.Decision) {
	if x.problem != nil {
		return // an earlier error led to d
	}
	x.problem = new(problem.OfDecision(d))
	switch {
	case d.Cause == nil || lateen.CodeOf(d.Cause) != lateen.Internal:
	case x.problem.Blame == problem.ByCode: // an error of the site goes to the log of the site, not to the daemon's
		x.edge.failures.fault(&x.Call, d.Cause)
	default:
		x.edge.failures.failure(x.req.Context(), &x.record, d.Cause)
	}
	if d.Kind != route.Error && x.problem.Blame == problem.ByRequest {
		return
	}
	x.record.Error = x.problem.Reason
}

func (x *exchange) redirect(status int, location string) {
	x.record.Kind = kindRedirect
	h := http.Header{
		"Location": {location}, "Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {strconv.Itoa(len(redirecting))},
	}
	if status == http.StatusPermanentRedirect { // for browsers that do not know the status 308
		h["Refresh"] = []string{"0;url=" + location}
	}
	x.respond(status, h, strings.NewReader(redirecting))
}

// locationOn returns the URL of the request on another host: its scheme, port, path
// and query stay.
func (x *exchange) locationOn(host string) string {
	u := *x.req.URL
	u.Scheme, u.Host = x.Client.Proto, host
	if _, port, err := net.SplitHostPort(x.Client.Host); err == nil {
		u.Host = net.JoinHostPort(host, port)
	}
	return u.String()
}

const redirecting = "Redirecting...\n"

// end records the exchange, also after a panic.
func (x *exchange) end() {
	if failure := recover(); failure != nil && failure != http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself
		x.edge.o.Log.ErrorContext(x.req.Context(), "serving a request panicked",
			"request_id", string(x.ID), "panic", failure, "stack", string(debug.Stack()))
		if x.status == 0 {
			x.problem = new(problem.Of(lateen.ErrInternal))
			x.record.Error = x.problem.Reason
			x.errorPage(*x.problem)
		}
	}
	r := &x.record
	r.Duration = x.edge.o.Now().Sub(x.began)
	x.body.end(x.done)
	if x.encodes {
		x.edge.encoders.Give(1, string(x.Site.Team), string(x.Site.Project))
	}
	if x.held > 0 {
		x.edge.memory.Give(x.held, string(x.Site.Team), string(x.Site.Project))
	}
	r.BytesIn, r.BytesOut = x.body.count()+x.upgraded, x.w.written
	r.Status = x.status
	if !x.done && (x.clientGone || x.req.Context().Err() != nil) {
		r.Status = statusClientGone
	}
	if x.edge.o.Records != nil {
		x.edge.o.Records.Record(*r)
	}
	if !x.done {
		panic(http.ErrAbortHandler) // or the client would take the truncated response for a complete one
	}
}

// statusClientGone is the recorded status of a request whose client disconnected
// before the end of the response.
const statusClientGone = 499

// fail answers with the error page of err: the deployment's own if its routes lead to
// one for the status, else the platform's. If the error page fails itself, the
// platform's page and the record still tell the first error.
func (x *exchange) fail(err error) {
	ctx := x.req.Context()
	if x.status != 0 {
		x.finish(err)
		return
	}
	clear(x.w.Header()) // remove the fields of the intended response
	if name, value, ok := problem.Field(err); ok {
		x.w.Header().Set(name, value)
	}
	if ctx.Err() != nil && !errors.Is(err, problem.ErrStalled) {
		return // the client is gone; end records that
	}
	if lateen.CodeOf(err) == lateen.Internal {
		x.edge.failures.failure(ctx, &x.record, err)
	}
	if x.problem != nil {
		x.errorPage(*x.problem)
		return
	}
	x.problem = new(problem.Of(err))
	x.record.Error = x.problem.Reason
	if x.Site != nil && ctx.Err() == nil {
		if d, ok := x.Site.Router.ResolveError(ctx, x.RouteRequest(x.req), x.problem.Status); ok {
			x.answer(d)
			return
		}
	}
	x.errorPage(*x.problem)
}

// errorPage answers with the platform's own page for p, as HTML, JSON or text by
// the client's Accept.
func (x *exchange) errorPage(p problem.Problem) {
	if x.record.Kind == "" || x.record.Kind == kindPrerender {
		x.record.Kind = kindError
	}
	x.record.Cache = ""
	h := http.Header{}
	if x.decision != nil && x.decision.Kind == route.Error {
		x.decision.Merge(h)
		for _, name := range []string{"Content-Encoding", "Content-Length", "Cache-Control"} {
			delete(h, name)
		}
	}
	page, body := x.edge.problems.Render(p, x.req.Header, x.ID)
	maps.Copy(h, page)
	h["Vary"] = route.AddVary(h["Vary"], "Accept")
	header.DropHopByHop(h)
	x.platformHeader(h)
	x.head(p.Status, h)
	if x.req.Method == http.MethodHead || !header.AllowsBody(p.Status) {
		x.done = true
		return
	}
	_, err := x.w.Write(body)
	x.finish(err)
}
