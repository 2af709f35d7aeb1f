package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// fill returns the cache fill of the page. The fill calls the page's function with
// those parts of the request on which the page may depend, so that the response is
// valid for every client. extra are further fields for the function. invocation
// returns the invocation: complete after the end of the body, without the cost after
// the response's header or an error, and nil if the function was not called. Callers
// must not modify it.
//
// The cache fill may run after the end of the exchange, so it uses only immutable
// fields of it.
func (r *pageRequest) fill(spread cache.Spread, extra http.Header) (how cache.Making, invocation func() *lateen.Invocation) {
	latest := &atomic.Pointer[lateen.Invocation]{}
	e, d, page, group := r.edge, r.d, r.page, r.group
	id := rand.Text()
	k := r.Call // with its hop count: the leading request is the only one in a loop of pages
	k.Client, k.Fill = r.anyClient(), id
	v := r.variant
	how = cache.Making{Spread: spread, Seen: r.seen, ID: id, Within: r.Fill, Client: r.Client.Network(), Group: r.members(&k, extra, latest)}
	how.Make = func(ctx context.Context) (*cache.Draft, error) {
		inv := new(lateen.Invocation)
		resp, err := e.caller.Call(ctx, &k, call.OutputOf(d), v.request(page, extra), inv) //nolint:bodyclose // the cache closes the body of the draft
		latest.Store(new(*inv))
		if err != nil {
			return nil, err
		}
		resp.Body = &selfClosingBody{ReadCloser: resp.Body, ended: func() { latest.Store(new(*inv)) }}
		return draftOf(resp, page, group), nil
	}
	return how, latest.Load
}

// anyClient returns a client of the page without an identity.
func (r *pageRequest) anyClient() call.Client {
	c := call.Client{Proto: r.Client.Proto, Host: r.Client.Hostname, Hostname: r.Client.Hostname}
	if r.edge.o.Port != "" {
		c.Host += ":" + r.edge.o.Port
	}
	return c
}

// withFailureLog wraps how, a background refresh of a page, so that the log of the site gets
// the reason of a failure: no request waits for the refresh, and the old page stays.
func (r *pageRequest) withFailureLog(how cache.Making) cache.Making {
	e, k, output, ask := r.edge, r.Call, r.d.Output, how.Make
	fail := func(why string) {
		e.failures.fault(&k, fmt.Errorf("the page %s could not be refreshed, and its old version is served: %s", output, why))
	}
	how.Make = func(ctx context.Context) (*cache.Draft, error) {
		draft, err := ask(ctx)
		switch {
		case ctx.Err() != nil: // the platform is shutting down
		case err != nil:
			fail(err.Error())
		case draft.Use == cache.Once:
			fail(fmt.Sprintf("its function answered %d, with a response that must not be cached", draft.Entry.Status))
		case draft.Use == cache.Shared:
			fail(fmt.Sprintf("its function answered %d", draft.Entry.Status))
		default:
			draft.Body = &reportingBody{draft.Body, func(err error) { fail("its function's response ended early: " + err.Error()) }}
		}
		return draft, err
	}
	return how
}

// reportingBody is a response's body that calls failed if it ends with an error.
type reportingBody struct {
	io.ReadCloser

	failed func(err error)
}

// Read implements [io.Reader].
func (b *reportingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed(err)
	}
	return n, err
}

// selfClosingBody is a response's body that closes itself at its end, so that the
// invocation ends then, even if the page is still in use. It calls ended when it is
// closed.
type selfClosingBody struct {
	io.ReadCloser

	once  sync.Once
	ended func()
}

// Read implements [io.Reader].
func (b *selfClosingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.Close() // err already has the cause
	}
	return n, err
}

// Close ends the invocation.
func (b *selfClosingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.ended)
	return err
}

// request returns the request for the page to the function of p.
func (v *variant) request(p *lateen.Prerender, extra http.Header) *http.Request {
	h := make(http.Header, len(v.header)+len(extra)+8)
	h["User-Agent"] = []string{""} // or net/http would send its own
	maps.Copy(h, v.header)
	maps.Copy(h, extra)
	if !p.PassQuery {
		h["X-Now-Route-Matches"] = []string{v.matches}
	}
	return &http.Request{
		Method: http.MethodGet, URL: call.PathURL(v.path, v.query), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// revalidation returns the fields that tell the function about a requested refresh,
// as far as the page allows them.
func (r *pageRequest) revalidation() http.Header { return allowedHeader(r.req.Header, r.page) }

// allowedHeader returns the fields of h about a requested refresh that p allows.
func allowedHeader(h http.Header, p *lateen.Prerender) http.Header {
	out := http.Header{}
	for _, name := range p.AllowHeader {
		name = http.CanonicalHeaderKey(name)
		if values := h[name]; values != nil && (name == headerRevalidate || name == headerIfGenerated) {
			out[name] = values
		}
	}
	return out
}

// draftOf returns the cacheable form of a function's response.
func draftOf(resp *http.Response, p *lateen.Prerender, group string) *cache.Draft {
	header.DropHopByHop(resp.Header)
	draft := cache.DraftOf(resp, p, group)
	if draft.Use == cache.Kept {
		header.CleanResponse(resp.Header)
	}
	return draft
}
