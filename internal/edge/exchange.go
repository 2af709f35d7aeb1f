package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/coding"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/server"
)

// The kinds of responses in a record.
const (
	kindStatic     = "static"
	kindFunction   = "function"
	kindEdge       = "edge"
	kindPrerender  = "prerender"
	kindMiddleware = "middleware"
	kindRedirect   = "redirect"
	kindExternal   = "external"
	kindError      = "error"
)

// exchange is one request and its response. The code that serves it fills in the
// record and answers once, with respond or fail. One goroutine uses an exchange;
// work that outlives the request may use only a copy of the call.
type exchange struct {
	call.Call

	edge *Edge

	w    *writer
	req  *http.Request // the client's, without the headers that only the platform may send
	body *upload       // unread rest of the request's body; nil if the request has no body

	decision   *route.Decision // result of routing; nil before
	record     lateen.Record
	began      time.Time
	first      bool             // whether this is the connection's first request for a deployment
	codings    bool             // whether the static file of the response has compressed forms
	held       int64            // bytes taken from the edge's memory
	encodes    bool             // whether the exchange holds a place for an encoder
	problem    *problem.Problem // first error; nil if there is none
	status     int              // status that was sent; 0 before the header is sent
	done       bool             // whether the whole response was sent
	clientGone bool             // whether sending failed because of the client
	upgraded   int64            // bytes received after a switch of protocols
}

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

func (e *Edge) newExchange(w *writer, r *http.Request, from call.Client) *exchange {
	now := e.o.Now()
	x := &exchange{
		Call: call.Call{ID: lateen.NewID[lateen.RequestID]("req_", now), Region: e.o.Region, Client: from},
		edge: e, w: w, began: now,
	}
	r = r.WithContext(lateen.WithRequestID(r.Context(), x.ID))
	for name := range header.Nominated(r.Header) {
		delete(r.Trailer, name)
	}
	header.CleanTrailer(r.Trailer)
	x.Hops, x.Fill = e.hops.Of(r.Header)
	r.Header = header.CleanRequest(r.Header)
	x.Trace = call.TraceOf(r.Header)
	x.body = newUpload(w, r, e.o.MaxBody)
	x.req = x.body.request(r)
	x.record = lateen.Record{
		ID: x.ID, Time: lateen.MillisOf(now), Method: r.Method, Host: from.Hostname, Path: r.URL.Path,
		ClientIP: from.IP, UserAgent: r.Header.Get("User-Agent"), Referer: r.Header.Get("Referer"),
		TraceID: x.Trace.ID, ParentSpan: x.Trace.Parent, SpanID: x.Trace.Span,
	}
	return x
}

// serve finds the site, routes the request and answers it.
func (x *exchange) serve() {
	const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	switch {
	case x.req.Method == http.MethodConnect || x.req.Method == http.MethodTrace: // the edge is no forward proxy, and echoes no request
		x.fail(lateen.ErrMethod, "Allow", methods)
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
	if err := x.enter(ctx); err != nil {
		x.fail(err)
		return
	}
	if x.Hops >= call.MaxHops {
		x.fail(problem.ErrLoop)
		return
	}
	d, err := x.Site.Router.Resolve(ctx, x.RouteRequest(x.req), x.runMiddleware)
	if err != nil {
		x.fail(err)
		return
	}
	x.answer(d)
}

// enter finds the site of the request's host.
func (x *exchange) enter(ctx context.Context) error {
	to, ok := x.edge.hosts.Get(x.Client.Hostname)
	if !ok {
		return problem.ErrUnknownHost
	}
	s, err := x.edge.sites.Get(ctx, to.Deployment)
	if err != nil {
		return err
	}
	x.Site = s
	x.record.Team, x.record.Project, x.record.Deployment = s.Team, s.Project, s.Deployment
	x.record.Target, x.record.Branch = s.Target, s.Branch
	x.first = server.ConnectionOf(ctx).Asks()
	return nil
}

// answer serves the decision d.
func (x *exchange) answer(d *route.Decision) {
	x.decision = d
	x.record.Output = d.Output
	if d.Reason != "" {
		x.explain(d)
	}
	switch d.Kind {
	case route.Static:
		x.edge.serveStatic(x, d)
	case route.Function:
		x.edge.serveFunction(x, d)
	case route.Prerender:
		p := x.Site.Manifest.Prerenders[d.Output]
		x.record.Kind = kindPrerender
		x.edge.servePrerender(x, d, &p)
	case route.External:
		x.edge.serveExternal(x, d)
	case route.Redirect:
		x.redirect(d)
	case route.Answer:
		x.middlewareAnswer(d)
	default:
		x.errorPage(*x.problem) // the routes lead to no error page of the deployment
	}
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
		x.edge.logFault(&x.Call, d.Cause)
	default:
		x.logFailure(d.Cause)
	}
	if d.Kind != route.Error && x.problem.Blame == problem.ByRequest {
		return
	}
	x.record.Error = x.problem.Reason
}

func (x *exchange) redirect(d *route.Decision) {
	x.record.Kind = kindRedirect
	h := http.Header{
		"Location": {d.Location}, "Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {strconv.Itoa(len(redirecting))},
	}
	if d.Status == http.StatusPermanentRedirect { // for browsers that do not know the status 308
		h["Refresh"] = []string{"0;url=" + d.Location}
	}
	x.respond(d.Status, h, strings.NewReader(redirecting))
}

const redirecting = "Redirecting...\n"

// respond answers with an output's own response: with status and header h, completed
// by the decision and the platform, and with body, which it flushes after each read
// unless h has a Content-Length. It takes over h, and closes body if that is an
// [io.Closer]; nil is no body. The kernel sends a body that is an [io.LimitedReader]
// of an [os.File] or embeds one; a [coding.Page] has compressed forms of its own.
// record.Cache becomes x-vercel-cache.
func (x *exchange) respond(status int, h http.Header, body io.Reader) {
	x.finish(x.send(status, h, body))
}

// send implements respond, without the call of finish.
func (x *exchange) send(status int, h http.Header, body io.Reader) error {
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	status = x.complete(status, h)
	applied := x.negotiate(status, h, body)
	if page, ok := body.(*coding.Page); ok {
		body, applied = page.In(applied, x.edge.codings, h), ""
	}
	x.head(status, h)
	if body == nil || body == http.NoBody || x.req.Method == http.MethodHead || !header.AllowsBody(status) {
		return nil
	}
	if applied == "" {
		if part, ok := filePart(body); ok {
			return x.w.sendN(part.R, part.N)
		}
		if whole, ok := body.(*bytes.Reader); ok {
			_, err := whole.WriteTo(x.w)
			return err
		}
	}
	_, sized := h["Content-Length"]
	return x.edge.codings.Copy(x.w, body, applied, !sized)
}

// negotiate chooses the coding of a response, sets it in the header h and returns it.
// A response that has to be compressed takes an encoder; past the share of the team it
// is sent uncompressed. A file is sent in the form that [exchange.serveStatic] chose.
func (x *exchange) negotiate(status int, h http.Header, body io.Reader) string {
	if x.record.Kind == kindStatic {
		if x.codings {
			coding.Vary(h)
		}
		return ""
	}
	chosen := coding.Negotiate(status, x.req.Header, h)
	_, cached := body.(*coding.Page)
	if encodes := !cached && body != nil && x.req.Method != http.MethodHead; chosen != "" && encodes && !x.takeEncoder() {
		return ""
	}
	coding.Apply(h, chosen)
	return chosen
}

// takeEncoder reserves an encoder for the rest of the exchange.
func (x *exchange) takeEncoder() bool {
	if !x.encodes && x.Site != nil {
		x.encodes = x.edge.encoders.Take(1, string(x.Site.Team), string(x.Site.Project))
		return x.encodes
	}
	return true
}

// filePart returns body as a part of a file; ok is false if it is not one.
func filePart(body io.Reader) (*io.LimitedReader, bool) {
	part, ok := body.(*io.LimitedReader)
	if b, embeds := body.(*fileBody); embeds {
		part, ok = &b.LimitedReader, true
	}
	if !ok {
		return nil, false
	}
	_, ok = part.R.(*os.File)
	return part, ok
}

// complete applies the decision's and the platform's rules to an output's own
// header h and returns the status to send.
func (x *exchange) complete(status int, h http.Header) int {
	header.CleanResponse(h)
	if d := x.decision; d != nil {
		length := h["Content-Length"]
		d.Merge(h)
		if h["Content-Length"] = length; length == nil { // a route cannot set the length
			delete(h, "Content-Length")
		}
		if d.Status >= http.StatusOK { // an interim status is no response
			status = d.Status
		}
	}
	header.DropHopByHop(h)
	x.platformHeader(h)
	return status
}

// head sends the header of the response.
func (x *exchange) head(status int, h http.Header) {
	out := x.w.Header()
	maps.Copy(out, h) // h may be out itself
	if _, typed := out["Content-Type"]; !typed {
		out["Content-Type"] = nil // keeps net/http from guessing a type that user code did not set
	}
	if status < http.StatusOK || status == http.StatusNoContent {
		delete(out, "Content-Length") // RFC 9110 §8.6
	}
	x.status = status
	x.record.FirstByte = x.edge.o.Now().Sub(x.began)
	x.w.WriteHeader(status)
	x.learn(status, h)
}

// finish notes the result of sending the body: complete, cut short by its source, or
// failed because of the client.
func (x *exchange) finish(err error) {
	x.done = err == nil
	if x.done || x.req.Context().Err() != nil {
		return
	}
	if broken, ok := errors.AsType[*lateen.Error](err); ok {
		x.record.Error = broken.Reason
	} else {
		x.clientGone = true
	}
	x.edge.o.Log.DebugContext(x.req.Context(), "response cut short", "request_id", string(x.ID), "err", err)
}

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
// platform's page and the record still tell the first error. further are names and
// values, alternating, of further header fields.
func (x *exchange) fail(err error, further ...string) {
	ctx := x.req.Context()
	if x.status != 0 {
		x.finish(err)
		return
	}
	clear(x.w.Header()) // remove the fields of the intended response
	for pair := range slices.Chunk(further, 2) {
		x.w.Header().Set(pair[0], pair[1])
	}
	if ctx.Err() != nil && !errors.Is(err, problem.ErrStalled) {
		return // the client is gone; end records that
	}
	if lateen.CodeOf(err) == lateen.Internal {
		x.logFailure(err)
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
