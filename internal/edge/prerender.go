package edge

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/route"
)

// The values of x-vercel-cache.
const (
	cacheHit         = "HIT"
	cacheMiss        = "MISS"
	cacheStale       = "STALE"
	cacheBypass      = "BYPASS"
	cachePrerender   = "PRERENDER"   // the build made it
	cacheRevalidated = "REVALIDATED" // made anew because it was asked for or deleted
)

// The reasons in a record for what is not a plain hit.
const (
	reasonCold       = "cold"
	reasonCollapsed  = "collapsed" // another request's making was waited for
	reasonError      = "error"     // it could not be made
	reasonStaleError = "stale_error"
	reasonDraft      = "draft_mode"
	reasonBypass     = "prerender_bypass"
	reasonCrawler    = "crawler"
)

// Headers by which a framework asks for pages to be made anew. Each is believed
// with the bypass token of the page only.
const (
	headerRevalidate      = "X-Prerender-Revalidate"              // the token: make this page anew
	headerIfGenerated     = "X-Prerender-Revalidate-If-Generated" // with it: only if there is one
	headerRevalidatedTags = "X-Next-Revalidated-Tags"             // these were invalidated just now
	headerTagToken        = "X-Next-Revalidate-Tag-Token"         //nolint:gosec // a header's name
	draftCookie           = "__prerender_bypass"                  // the token: the visitor sees drafts
)

// rendering is one request for a prerendered page.
type rendering struct {
	*exchange

	d     *route.Decision
	page  *lateen.Prerender
	asked aspect
	key   cache.Key
	group string
	now   time.Time
	// seen is when the entry was born that is in the cache; see [cache.Making].
	seen time.Time
	// run reports whether there is a function that makes the page anew.
	run bool
	// isError is set for an error page: it is for whatever was asked, in whole.
	isError bool
}

// servePrerender answers with the kept response of d.Output: at once, if there
// is one that may be served, else as soon as its function has made it.
func (e *Edge) servePrerender(x *exchange, d *route.Decision, p *lateen.Prerender) {
	r := e.rendering(x, d, p)
	token := p.BypassToken
	switch method := x.req.Method; {
	case r.run && r.bypasses():
		e.serveFunction(x, r.past())
	case r.isError, method == http.MethodGet, method == http.MethodHead:
		r.believe(token)
		if r.run && sameSecret(token, x.req.Header.Get(headerRevalidate)) {
			r.revalidate()
			return
		}
		r.serve()
	default:
		x.fail(lateen.ErrMethod, "Allow", "GET, HEAD")
	}
}

func (e *Edge) rendering(x *exchange, d *route.Decision, p *lateen.Prerender) *rendering {
	_, run := x.site.specs[x.site.Manifest.Outputs[d.Output]]
	asked := aspectOf(x, d, p)
	return &rendering{
		exchange: x, d: d, page: p, asked: asked, key: asked.key(x.site, d.Output),
		group: asked.group(p.Group, d.Output), now: e.o.Now(), run: run,
		isError: d.Status >= http.StatusBadRequest || x.problem != nil,
	}
}

// sameSecret reports whether got is the secret want, in constant time. An empty
// secret is nobody's.
func sameSecret(want, got string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}

// believe takes the word of a function of this site that tags were invalidated,
// if it shows the token: it asks for a page before its own response has told us.
func (r *rendering) believe(token string) {
	h := r.req.Header
	if h[headerRevalidatedTags] == nil || !sameSecret(token, h.Get(headerTagToken)) {
		return
	}
	r.edge.invalidate(r.site, splitTags(h[headerRevalidatedTags]), 0)
}

// serve answers with what is kept, made anew before or after as it needs.
func (r *rendering) serve() {
	e, built := r.kept()
	if e == nil {
		r.make(cacheMiss, reasonCold, cache.SpreadNone)
		return
	}
	defer e.Close()
	state, why := r.edge.o.Cache.State(r.key.Scope, e, r.now)
	switch {
	case !r.run:
		r.send(e, hitOr(built, cachePrerender), "")
	case built && r.asked.several && accept.IsCrawler(r.req.UserAgent()):
		r.make(cacheMiss, reasonCrawler, cache.SpreadNone)
	case built && r.asked.several: // one shell for many pages: this page is yet to be made
		r.refresh(cache.SpreadNone)
		r.send(e, cachePrerender, "")
	case state == cache.Fresh:
		r.send(e, hitOr(built, cachePrerender), "")
	case state == cache.Stale:
		r.sendStale(e, built, why)
	case why == cache.ByTime:
		r.make(cacheMiss, string(why), cache.SpreadStale)
	default:
		r.make(cacheRevalidated, string(why), cache.SpreadNone)
	}
}

func hitOr(is bool, label string) string {
	if is {
		return label
	}
	return cacheHit
}

// sendStale answers with e, and has it made anew. What the build made is told as such,
// whatever its age.
func (r *rendering) sendStale(e *cache.Entry, built bool, why cache.Reason) {
	label, reason, spread := cacheStale, string(why), cache.SpreadNone
	if why == cache.ByTime {
		spread = cache.SpreadStale
	}
	if built && why == cache.ByTime {
		label = cachePrerender
	}
	if r.edge.o.Cache.Failed(r.key, r.now) {
		reason = reasonStaleError
	}
	r.refresh(spread)
	r.send(e, label, reason)
}

// refresh has the page made anew, unless that is under way or failed just now.
func (r *rendering) refresh(spread cache.Spread) {
	if r.hops > maxKeptHops {
		return
	}
	how, _ := r.making(spread, nil)
	r.edge.o.Cache.Refresh(r.req.Context(), r.key, r.reported(how))
}

// kept returns the entry of the page, to be closed, or nil; built is set for
// what the build made, as long as nothing has replaced it.
func (r *rendering) kept() (e *cache.Entry, built bool) {
	r.seen = cache.Unseen()
	if e := r.edge.o.Cache.Get(r.key); e != nil {
		r.seen = e.Born
		return e, false
	}
	if r.page.Fallback == nil {
		return nil, false
	}
	e, err := r.fallback(r.req.Context())
	if err != nil {
		r.edge.o.Log.ErrorContext(r.req.Context(), "a prerendered page is missing", "deployment_id", string(r.site.Deployment), "output", r.d.Output, "err", err)
		return nil, false
	}
	if !r.asked.several {
		r.edge.o.Cache.Seed(r.key, e) // from now on it is a hit
		r.seen = e.Born
	}
	return e, true
}

// fallback is the response that the build made, as an entry of the moment the
// deployment was made. It is born before every invalidation of its deployment.
func (r *rendering) fallback(ctx context.Context) (*cache.Entry, error) {
	f := r.page.Fallback
	e := &cache.Entry{
		Status: f.Status, Header: make(http.Header, len(f.Headers)+1), Group: r.group,
		Born: time.Unix(0, 0), Kept: r.site.CreatedAt.Time(),
		Fresh: freshness(r.page), Usable: seconds(r.page.StaleExpiration), Digest: f.Digest,
	}
	if e.Status < http.StatusOK { // 0 is none, and an interim status is no response
		e.Status = http.StatusOK
	}
	if f.ContentType != "" {
		e.Header.Set("Content-Type", f.ContentType)
	}
	for name, value := range f.Headers {
		e.Header.Set(name, value)
	}
	e.Tags = takeTags(e.Header)
	cleanKept(e.Header)
	if f.Size > maxInlineFallback {
		body, err := r.edge.o.Artifacts.Open(ctx, f.Digest)
		if err != nil {
			return nil, err
		}
		e.SetFile(body, f.Size)
		return e, nil
	}
	b, err := artifact.Read(ctx, r.edge.o.Artifacts, f.Digest)
	if err != nil {
		return nil, err
	}
	e.SetBody(b)
	return e, nil
}

// maxInlineFallback is the size up to which a fallback is read into memory.
const maxInlineFallback = 256 << 10

// revalidate makes the page anew at the wish of one who has its token, and
// answers once it is kept.
func (r *rendering) revalidate() {
	if r.req.Header.Get(headerIfGenerated) != "" && !r.generated() {
		r.record.Cache = cacheMiss
		r.fail(lateen.ErrNotFound.With("the page has never been made"))
		return
	}
	how, inv := r.making(cache.SpreadExpired, r.revalidation())
	how.Since, how.Durable = r.edge.o.Cache.Now(), true
	f, leader, err := r.edge.o.Cache.Make(r.req.Context(), r.key, how)
	switch {
	case errors.Is(err, cache.ErrOnce):
		r.alone(reasonError)
		return
	case err != nil:
		r.fail(inCircle(err))
		return
	}
	if leader {
		f.Leave() // it waits, as the others do
	}
	e, err := f.Wait(r.req.Context())
	if leader && !errors.Is(err, cache.ErrBusy) {
		r.invoked(inv)
	}
	switch {
	case errors.Is(err, cache.ErrOnce):
		r.alone(reasonError)
	case err != nil:
		r.fail(err)
	case f.Kept():
		defer e.Close()
		r.send(e, cacheRevalidated, "")
	default:
		defer e.Close()
		r.send(e, cacheMiss, reasonError)
	}
}

// generated reports whether there is a page to make anew.
func (r *rendering) generated() bool {
	e, _ := r.kept()
	if e == nil {
		return false
	}
	e.Close()
	return true
}

// maxJoins is how many makings that began too early a request waits out.
const maxJoins = 3

// make makes the page, or waits for whoever does, and answers with it.
func (r *rendering) make(label, reason string, spread cache.Spread) {
	if r.hops > maxKeptHops {
		r.alone(reason)
		return
	}
	how, inv := r.making(spread, nil)
	begin := r.edge.o.Cache.Now()
	for range maxJoins {
		f, leader, err := r.edge.o.Cache.Make(r.req.Context(), r.key, how)
		switch {
		case errors.Is(err, cache.ErrOnce):
			r.alone(reason)
			return
		case err != nil:
			r.fail(inCircle(err))
			return
		case leader:
			r.lead(f, inv, label, reason)
			return
		case f.Grouped(): // what another form of the page brings along
			label = cacheHit
		}
		e, err := f.Wait(r.req.Context())
		switch {
		case errors.Is(err, cache.ErrOnce):
			r.alone(reason)
			return
		case err != nil:
			r.fail(err)
			return
		}
		if state, _ := r.edge.o.Cache.State(r.key.Scope, e, r.now); f.Kept() && state == cache.Expired {
			e.Close() // what was deleted meanwhile may be in it
			how.Since = begin
			continue
		}
		defer e.Close()
		r.send(e, label, reasonCollapsed)
		return
	}
	r.alone(reason)
}

// lead answers with the page as it is being made.
func (r *rendering) lead(f *cache.Flight, inv func() *lateen.Invocation, label, reason string) {
	defer f.Leave()
	draft, err := f.Head(r.req.Context())
	r.invoked(inv)
	if err != nil {
		r.fail(err)
		return
	}
	switch draft.Use {
	case cache.Kept:
	case cache.Once:
		label = cacheMiss
	case cache.Shared:
		label, reason = cacheMiss, reasonError
	}
	h := draft.Entry.Header.Clone()
	if draft.Length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(draft.Length, 10)}
	}
	r.record.Cache, r.record.CacheReason = label, reason
	r.reply(draft.Entry.Status, h, f.Body(r.req.Context()))
	r.invoked(inv) // with what it cost
}

// alone answers with a response that is made for this request and not kept.
func (r *rendering) alone(reason string) {
	how, inv := r.making(cache.SpreadNone, nil)
	draft, err := how.Make(lateen.WithClient(r.req.Context(), r.client.network()))
	r.invoked(inv)
	if err != nil {
		r.fail(err)
		return
	}
	r.record.Cache, r.record.CacheReason = cacheMiss, reason
	r.reply(draft.Entry.Status, draft.Entry.Header, draft.Body)
	r.invoked(inv) // with what it cost
}

// invoked notes how the function was called, as far as that is known.
func (r *rendering) invoked(inv func() *lateen.Invocation) {
	r.record.Invocation = inv()
}
