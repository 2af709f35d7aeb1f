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
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// The values of x-vercel-cache.
const (
	cacheHit         = "HIT"
	cacheMiss        = "MISS"
	cacheStale       = "STALE"
	cacheBypass      = "BYPASS"
	cachePrerender   = "PRERENDER"   // the page comes from the build
	cacheRevalidated = "REVALIDATED" // the page was refreshed on request or after an invalidation
)

// The reasons in a record for any result other than a plain hit.
const (
	reasonCold       = "cold"
	reasonCollapsed  = "collapsed" // the request waited for the cache fill of another request
	reasonError      = "error"     // the cache fill failed
	reasonStaleError = "stale_error"
	reasonDraft      = "draft_mode"
	reasonBypass     = "prerender_bypass"
	reasonCrawler    = "crawler"
)

// Fields by which a framework requests the refresh of pages. Each takes effect only
// with the bypass token of the page.
const (
	headerRevalidate      = "X-Prerender-Revalidate"              // bypass token: refresh this page
	headerIfGenerated     = "X-Prerender-Revalidate-If-Generated" // with headerRevalidate: only if the page exists
	headerRevalidatedTags = "X-Next-Revalidated-Tags"             // tags that were just invalidated
	headerTagToken        = "X-Next-Revalidate-Tag-Token"         //nolint:gosec // a header's name
	draftCookie           = "__prerender_bypass"                  // bypass token: the client gets drafts
)

// maxFillHops is the largest hop count of a request that starts a cache fill. The
// requests of the fill's function have a hop count that is one higher, and those past
// [call.MaxHops] are refused: a cached page must not depend on the hop count of its
// first request.
const maxFillHops = call.MaxHops/2 - 1

// pageRequest is one request for a prerendered page.
type pageRequest struct {
	*exchange

	d       *route.Decision
	page    *lateen.Prerender
	variant variant
	key     cache.Key
	group   string
	now     time.Time
	// seen is the creation time of the entry in the cache; see [cache.Making].
	seen time.Time
	// run is set if the page has a function that can refresh it.
	run bool
	// isError is set for an error page, which answers any method and is complete.
	isError bool
}

// servePrerender answers with the cached page of d.Output: immediately if there is a
// fresh or stale one, else as soon as its function responds.
func (x *exchange) servePrerender(d *route.Decision) error {
	p := x.Site.Manifest.Prerenders[d.Output]
	x.record.Kind = kindPrerender
	r := x.newPageRequest(d, &p)
	token := p.BypassToken
	switch method := x.req.Method; {
	case r.run && r.bypasses():
		return x.serveFunction(r.bypassDecision())
	case r.isError, method == http.MethodGet, method == http.MethodHead:
		r.applyRevalidatedTags(token)
		if r.run && sameSecret(token, x.req.Header.Get(headerRevalidate)) {
			return r.revalidate()
		}
		return r.serve()
	default:
		return problem.WithField(lateen.ErrMethod, "Allow", "GET, HEAD")
	}
}

func (x *exchange) newPageRequest(d *route.Decision, p *lateen.Prerender) *pageRequest {
	_, run := x.Site.Specs[x.Site.Manifest.Outputs[d.Output]]
	v := variantOf(&x.Call, d, p)
	return &pageRequest{
		exchange: x, d: d, page: p, variant: v, key: v.key(x.Site, d.Output),
		group: v.group(p.Group, d.Output), now: x.edge.o.Now(), run: run,
		isError: d.Status >= http.StatusBadRequest || x.problem != nil,
	}
}

// sameSecret reports whether got is the secret want, in constant time. An empty
// secret matches nothing.
func sameSecret(want, got string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}

// applyRevalidatedTags applies the invalidation of tags that a function of this site
// reports in its request for a page, if the request has the token: such a request
// arrives before the function's own response, which reports the invalidation too.
func (r *pageRequest) applyRevalidatedTags(token string) {
	h := r.req.Header
	if h[headerRevalidatedTags] == nil || !sameSecret(token, h.Get(headerTagToken)) {
		return
	}
	r.edge.caller.Invalidate(r.Site, cache.SplitTags(h[headerRevalidatedTags]), 0)
}

// serve answers with the cached page. It refreshes the page first if it is missing or
// expired, and in the background if it is stale.
func (r *pageRequest) serve() error {
	e, built := r.cachedPage()
	if e == nil {
		return r.make(cacheMiss, reasonCold, cache.SpreadNone)
	}
	defer e.Close()
	state, why := r.edge.o.Cache.State(r.key.Scope, e, r.now)
	switch {
	case !r.run:
		return r.send(e, hitOr(built, cachePrerender), "")
	case built && r.variant.several && accept.IsCrawler(r.req.UserAgent()):
		return r.make(cacheMiss, reasonCrawler, cache.SpreadNone)
	case built && r.variant.several: // the build made one fallback for many pages, and not yet this page
		r.refresh(cache.SpreadNone)
		return r.send(e, cachePrerender, "")
	case state == cache.Fresh:
		return r.send(e, hitOr(built, cachePrerender), "")
	case state == cache.Stale:
		return r.sendStale(e, built, why)
	case why == cache.ByTime:
		return r.make(cacheMiss, string(why), cache.SpreadStale)
	default:
		return r.make(cacheRevalidated, string(why), cache.SpreadNone)
	}
}

func hitOr(is bool, label string) string {
	if is {
		return label
	}
	return cacheHit
}

// sendStale answers with e, and refreshes the page in the background. A page from the
// build that is stale by time has the label of one from the build.
func (r *pageRequest) sendStale(e *cache.Entry, built bool, why cache.Reason) error {
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
	return r.send(e, label, reason)
}

// refresh refreshes the page in the background, unless a cache fill is in progress or
// failed recently.
func (r *pageRequest) refresh(spread cache.Spread) {
	if r.Hops > maxFillHops {
		return
	}
	how, _ := r.fill(spread, nil)
	r.edge.o.Cache.Refresh(r.req.Context(), r.key, r.withFailureLog(how))
}

// cachedPage returns the entry of the page, which the caller closes, or nil. built is set
// for the page from the build that no later page has replaced.
func (r *pageRequest) cachedPage() (e *cache.Entry, built bool) {
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
		r.edge.o.Log.ErrorContext(r.req.Context(), "a prerendered page could not be read", "deployment_id", string(r.Site.Deployment), "output", r.d.Output, "err", err)
		return nil, false
	}
	if !r.variant.several {
		r.edge.o.Cache.Seed(r.key, e) // later requests are hits
		r.seen = e.Born
	}
	return e, true
}

// fallback returns the response from the build as an entry whose age counts from the
// creation of the deployment. Its creation time is before every invalidation of the
// deployment.
func (r *pageRequest) fallback(ctx context.Context) (*cache.Entry, error) {
	f := r.page.Fallback
	e := &cache.Entry{
		Status: f.Status, Header: make(http.Header, len(f.Headers)+1), Group: r.group,
		Born: time.Unix(0, 0), Kept: r.Site.CreatedAt.Time(),
		Fresh: cache.FreshFor(r.page), Usable: cache.Seconds(r.page.StaleExpiration), Digest: f.Digest,
	}
	if e.Status < http.StatusOK { // 0 is no status, and an interim status is not a response's
		e.Status = http.StatusOK
	}
	if f.ContentType != "" {
		e.Header.Set("Content-Type", f.ContentType)
	}
	for name, value := range f.Headers {
		e.Header.Set(name, value)
	}
	e.Tags = cache.TakeTags(e.Header)
	header.CleanResponse(e.Header)
	cache.CleanHeader(e.Header)
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

// maxInlineFallback is the size in bytes up to which a fallback is read into memory.
const maxInlineFallback = 256 << 10

// revalidate refreshes the page for a request with the page's bypass token, and
// answers once the page is cached.
func (r *pageRequest) revalidate() error {
	if r.req.Header.Get(headerIfGenerated) != "" && !r.generated() {
		r.record.Cache = cacheMiss
		return lateen.ErrNotFound.With("the page does not exist yet")
	}
	how, inv := r.fill(cache.SpreadExpired, r.revalidation())
	how.Since, how.Durable = r.edge.o.Cache.Now(), true
	f, leader, err := r.edge.o.Cache.Make(r.req.Context(), r.key, how)
	switch {
	case errors.Is(err, cache.ErrOnce):
		return r.serveUncached(reasonError)
	case err != nil:
		return loopError(err)
	}
	if leader {
		f.Leave() // it waits like the other requests
	}
	e, err := f.Wait(r.req.Context())
	if leader && !errors.Is(err, cache.ErrBusy) {
		r.invoked(inv)
	}
	switch {
	case errors.Is(err, cache.ErrOnce):
		return r.serveUncached(reasonError)
	case err != nil:
		return err
	case f.Kept():
		defer e.Close()
		return r.send(e, cacheRevalidated, "")
	default:
		defer e.Close()
		return r.send(e, cacheMiss, reasonError)
	}
}

// generated reports whether the page exists.
func (r *pageRequest) generated() bool {
	e, _ := r.cachedPage()
	if e == nil {
		return false
	}
	e.Close()
	return true
}

// maxJoins bounds the cache fills that a request waits for although they began too
// early for it.
const maxJoins = 3

// make starts a cache fill, or waits for the one in progress, and answers with its
// page.
func (r *pageRequest) make(label, reason string, spread cache.Spread) error {
	if r.Hops > maxFillHops {
		return r.serveUncached(reason)
	}
	how, inv := r.fill(spread, nil)
	begin := r.edge.o.Cache.Now()
	for range maxJoins {
		f, leader, err := r.edge.o.Cache.Make(r.req.Context(), r.key, how)
		switch {
		case errors.Is(err, cache.ErrOnce):
			return r.serveUncached(reason)
		case err != nil:
			return loopError(err)
		case leader:
			return r.lead(f, inv, label, reason)
		case f.Grouped(): // the cache fill of another output of the group fills this page too
			label = cacheHit
		}
		e, err := f.Wait(r.req.Context())
		switch {
		case errors.Is(err, cache.ErrOnce):
			return r.serveUncached(reason)
		case err != nil:
			return err
		}
		if state, _ := r.edge.o.Cache.State(r.key.Scope, e, r.now); f.Kept() && state == cache.Expired {
			e.Close() // the page may contain data that was invalidated meanwhile
			how.Since = begin
			continue
		}
		defer e.Close()
		return r.send(e, label, reasonCollapsed)
	}
	return r.serveUncached(reason)
}

// lead answers with the page while its cache fill is in progress.
func (r *pageRequest) lead(f *cache.Flight, inv func() *lateen.Invocation, label, reason string) error {
	defer f.Leave()
	draft, err := f.Head(r.req.Context())
	r.invoked(inv)
	if err != nil {
		return err
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
	err = r.reply(draft.Entry.Status, h, f.Body(r.req.Context()))
	r.invoked(inv) // now with the cost
	return err
}

// serveUncached answers with a response that the function makes for this request only,
// and does not cache it.
func (r *pageRequest) serveUncached(reason string) error {
	how, inv := r.fill(cache.SpreadNone, nil)
	draft, err := how.Make(lateen.WithClient(r.req.Context(), r.Client.Network()))
	r.invoked(inv)
	if err != nil {
		return err
	}
	r.record.Cache, r.record.CacheReason = cacheMiss, reason
	err = r.reply(draft.Entry.Status, draft.Entry.Header, draft.Body)
	r.invoked(inv) // now with the cost
	return err
}

// invoked records the invocation as far as it is known.
func (r *pageRequest) invoked(inv func() *lateen.Invocation) {
	r.record.Invocation = inv()
}

// loopError replaces the error of a page whose fill would wait for itself with
// the error of a request loop.
func loopError(err error) error {
	if errors.Is(err, cache.ErrCircle) {
		return problem.ErrLoop.Because(err)
	}
	return err
}
