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

// making says how the page is made: by its function, asked without anything of
// the client but what the page may depend on, so that the response is for
// everybody. extra is further header for the function. invocation tells how the
// function was called, once there is a response or an error, and what it cost as
// well once the body has ended; nil if it was not called. It is never changed.
//
// The page may be made when the exchange is long over, so nothing of it is kept
// but what never changes.
func (r *rendering) making(spread cache.Spread, extra http.Header) (how cache.Making, invocation func() *lateen.Invocation) {
	told := &atomic.Pointer[lateen.Invocation]{}
	e, d, page, group := r.edge, r.d, r.page, r.group
	everybody := client{proto: r.client.proto, host: r.client.hostname, hostname: r.client.hostname}
	if e.o.Port != "" {
		everybody.host += ":" + e.o.Port
	}
	id := rand.Text()
	x := &exchange{edge: e, id: r.id, site: r.site, client: everybody, hops: r.hops, within: id, // hops of the request that leads: a circle of pages has no other
		record: lateen.Record{TraceID: r.record.TraceID, SpanID: r.record.SpanID}}
	asked := r.asked
	how = cache.Making{Spread: spread, Seen: r.seen, ID: id, Within: r.within, Client: r.client.network(), Group: r.members(x, extra, told)}
	how.Make = func(ctx context.Context) (*cache.Draft, error) {
		inv := new(lateen.Invocation)
		resp, err := e.call(ctx, x, d, asked.request(page, extra), inv) //nolint:bodyclose // the draft has it
		told.Store(new(*inv))
		if err != nil {
			return nil, err
		}
		resp.Body = &countedBody{ReadCloser: resp.Body, ended: func() { told.Store(new(*inv)) }}
		return draftOf(resp, page, group), nil
	}
	return how, told.Load
}

// reported has the log of the site tell why a background regeneration of a page
// failed: no request waits for it, and the page from before stays.
func (r *rendering) reported(how cache.Making) cache.Making {
	x := &exchange{edge: r.edge, id: r.id, record: lateen.Record{Project: r.record.Project, Deployment: r.record.Deployment}}
	output, ask := r.d.Output, how.Make
	fail := func(why string) {
		x.logFault(fmt.Errorf("the page %s was not made anew, and is served as it was: %s", output, why))
	}
	how.Make = func(ctx context.Context) (*cache.Draft, error) {
		draft, err := ask(ctx)
		switch {
		case ctx.Err() != nil: // the platform ends
		case err != nil:
			fail(err.Error())
		case draft.Use == cache.Once:
			fail(fmt.Sprintf("its function answered %d, with a response that is not to be kept", draft.Entry.Status))
		case draft.Use == cache.Shared:
			fail(fmt.Sprintf("its function answered %d", draft.Entry.Status))
		default:
			draft.Body = &toldBody{draft.Body, func(err error) { fail("its function's response broke off: " + err.Error()) }}
		}
		return draft, err
	}
	return how
}

// toldBody is a response's body that tells of an error with which it ends.
type toldBody struct {
	io.ReadCloser

	failed func(err error)
}

// Read reads on.
func (b *toldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed(err)
	}
	return n, err
}

// countedBody is a response's body that is closed as soon as it has ended, so
// that its function is done with whatever becomes of the page, and tells so.
type countedBody struct {
	io.ReadCloser

	once  sync.Once
	ended func()
}

// Read reads on.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.Close() // what went wrong is said
	}
	return n, err
}

// Close ends the call.
func (b *countedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.ended)
	return err
}

// request asks the function of p for the page.
func (a *aspect) request(p *lateen.Prerender, extra http.Header) *http.Request {
	h := make(http.Header, len(a.header)+len(extra)+8)
	h["User-Agent"] = []string{""} // or net/http would send its own
	maps.Copy(h, a.header)
	maps.Copy(h, extra)
	if !p.PassQuery {
		h["X-Now-Route-Matches"] = []string{a.matches}
	}
	return &http.Request{
		Method: http.MethodGet, URL: pathURL(a.path, a.query), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// revalidation is the header that tells a function that it was asked for, where
// the page lets it know.
func (r *rendering) revalidation() http.Header { return allowedHeader(r.req.Header, r.page) }

// allowedHeader is what of h tells the function of p that the page was asked for, as far
// as p lets it know.
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

// storable are the statuses of a page that is kept. With any other, making it failed.
var storable = map[int]bool{
	http.StatusOK: true, http.StatusMovedPermanently: true, http.StatusFound: true, http.StatusTemporaryRedirect: true,
	http.StatusPermanentRedirect: true, http.StatusNotFound: true, http.StatusGone: true,
}

// draftOf is what of a function's response is kept, and for how long: as long as
// the build said of p, unless the response says otherwise.
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
		cleanKept(h)
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

// cleanKept removes from the header of a response that is for everybody what
// is meant for one client or for the caches on the way. That content must not
// be transformed holds for each copy of it.
func cleanKept(h http.Header) {
	cleanResponse(h)
	if noTransform(h) {
		defer func() { h["Cache-Control"] = revalidateUntransformed }()
	}
	for _, name := range []string{"Set-Cookie", "Cache-Control", "Cdn-Cache-Control", "Age", "Expires", "Content-Length"} {
		delete(h, name)
	}
}

// freshness is how long a page is fresh by what the build said; negative is for ever.
func freshness(p *lateen.Prerender) time.Duration {
	if p.Expiration == nil {
		return -1
	}
	return seconds(*p.Expiration)
}

// maxSeconds is a hundred years.
const maxSeconds = 100 * 365 * 24 * 60 * 60

func seconds(n int) time.Duration { return time.Duration(min(max(n, 0), maxSeconds)) * time.Second }

// lifetime is what a response says of how long it may be kept.
type lifetime struct {
	private bool // not at all
	fresh   time.Duration
	usable  time.Duration // in all, with the time it is stale; 0 is not said
}

// lifetimeOf reads the most specific of the headers that speak to a shared
// cache; said is false where none says anything (RFC 9111 §5.2.2, RFC 5861, RFC 9213).
func lifetimeOf(h http.Header) (l lifetime, said bool) {
	for _, name := range []string{"Vercel-Cdn-Cache-Control", "Cdn-Cache-Control", "Cache-Control"} {
		if values := h[name]; values != nil {
			return readLifetime(values, name != "Cache-Control")
		}
	}
	return l, false
}

// readLifetime reads the values of one header. targeted is set for one that is
// for caches like this one: there max-age is meant, elsewhere it is the browser's.
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
