package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
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
	anyClient := client{proto: r.client.proto, host: r.client.hostname, hostname: r.client.hostname}
	if e.o.Port != "" {
		anyClient.host += ":" + e.o.Port
	}
	id := rand.Text()
	x := &exchange{edge: e, id: r.id, site: r.site, client: anyClient, hops: r.hops, within: id, // the hop count of the leading request, which is the only one in a loop of pages
		record: lateen.Record{TraceID: r.record.TraceID, SpanID: r.record.SpanID}}
	v := r.variant
	how = cache.Making{Spread: spread, Seen: r.seen, ID: id, Within: r.within, Client: r.client.network(), Group: r.members(x, extra, latest)}
	how.Make = func(ctx context.Context) (*cache.Draft, error) {
		inv := new(lateen.Invocation)
		resp, err := e.call(ctx, x, d, v.request(page, extra), inv) //nolint:bodyclose // the cache closes the body of the draft
		latest.Store(new(*inv))
		if err != nil {
			return nil, err
		}
		resp.Body = &selfClosingBody{ReadCloser: resp.Body, ended: func() { latest.Store(new(*inv)) }}
		return draftOf(resp, page, group), nil
	}
	return how, latest.Load
}

// withFailureLog wraps how, a background refresh of a page, so that the log of the site gets
// the reason of a failure: no request waits for the refresh, and the old page stays.
func (r *pageRequest) withFailureLog(how cache.Making) cache.Making {
	x := &exchange{edge: r.edge, id: r.id, record: lateen.Record{Project: r.record.Project, Deployment: r.record.Deployment}}
	output, ask := r.d.Output, how.Make
	fail := func(why string) {
		x.logFault(fmt.Errorf("the page %s could not be refreshed, and its old version is served: %s", output, why))
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
		Method: http.MethodGet, URL: pathURL(v.path, v.query), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
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

// storable are the statuses of responses that become cached pages. A cache fill with
// any other status has failed.
var storable = map[int]bool{
	http.StatusOK: true, http.StatusMovedPermanently: true, http.StatusFound: true, http.StatusTemporaryRedirect: true,
	http.StatusPermanentRedirect: true, http.StatusNotFound: true, http.StatusGone: true,
}

// draftOf returns the cacheable form of a function's response. Its lifetime is the one
// in the response, else the one that the build set for p.
func draftOf(resp *http.Response, p *lateen.Prerender, group string) *cache.Draft {
	h := resp.Header
	dropHopByHop(h)
	e := &cache.Entry{Status: resp.StatusCode, Header: h, Group: group, Fresh: freshness(p), Usable: seconds(p.StaleExpiration)}
	use := cache.Shared
	if storable[resp.StatusCode] {
		use = cache.Kept
		switch life, said := lifetimeOf(h); {
		case !said:
		case life.private:
			use = cache.Once
		default:
			if e.Fresh = life.fresh; life.usable > 0 {
				e.Usable = life.usable
			}
		}
	}
	e.Tags = takeTags(h)
	switch use {
	case cache.Kept:
		cleanCached(h)
	case cache.Shared:
		delete(h, "Set-Cookie")
	case cache.Once:
	}
	delete(h, "Content-Length")
	length := resp.ContentLength
	if resp.Uncompressed {
		length = -1
	}
	return &cache.Draft{Entry: e, Body: resp.Body, Length: length, Use: use}
}

// cleanCached removes from the header of a cached response the fields for one client and
// those for caches. It retains no-transform, which applies to every copy of the
// content.
func cleanCached(h http.Header) {
	cleanResponse(h)
	if noTransform(h) {
		defer func() { h["Cache-Control"] = revalidateUntransformed }()
	}
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Cdn-Cache-Control", "Age", "Expires", "Content-Length"} {
		delete(h, name)
	}
}

// freshness returns the time that a page is fresh, as the build set it; a negative
// value is no limit.
func freshness(p *lateen.Prerender) time.Duration {
	if p.Expiration == nil {
		return -1
	}
	return seconds(*p.Expiration)
}

// maxSeconds is a hundred years in seconds.
const maxSeconds = 100 * 365 * 24 * 60 * 60

func seconds(n int) time.Duration { return time.Duration(min(max(n, 0), maxSeconds)) * time.Second }

// lifetime is the time that a response may be cached.
type lifetime struct {
	private bool          // whether the response must not be cached
	fresh   time.Duration // time that it is fresh
	usable  time.Duration // time that it is fresh or stale; 0 is unspecified
}

// lifetimeOf reads the most specific of the fields for a shared cache (RFC 9111
// §5.2.2, RFC 5861, RFC 9213). said is false if the field has no lifetime or there is
// no such field.
func lifetimeOf(h http.Header) (l lifetime, said bool) {
	for _, name := range []string{"Vercel-Cdn-Cache-Control", "Cdn-Cache-Control", "Cache-Control"} {
		if values := h[name]; values != nil {
			return readLifetime(values, name != "Cache-Control")
		}
	}
	return l, false
}

// readLifetime reads the values of one field. targeted is set for a field for CDN
// caches: there max-age applies to this cache, elsewhere to the browser.
func readLifetime(values []string, targeted bool) (l lifetime, said bool) {
	fresh, extra := -1, 0
	for directive := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		n, err := strconv.Atoi(strings.Trim(value, `"`))
		if err != nil || n < 0 {
			n = 0
		}
		switch name {
		case "private", "no-store", "no-cache":
			return lifetime{private: true}, true
		case "s-maxage":
			fresh = n
		case "max-age":
			if targeted && fresh < 0 {
				fresh = n
			}
		case "stale-while-revalidate":
			extra = n
		}
	}
	if fresh < 0 {
		return l, false
	}
	l.fresh = seconds(fresh)
	if extra > 0 {
		l.usable = l.fresh + seconds(extra)
	}
	l.private = l.fresh == 0 && extra == 0
	return l, true
}
