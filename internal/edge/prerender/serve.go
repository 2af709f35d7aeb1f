package prerender

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/problem"
)

// Serve answers with the cached page of the decision: immediately if there is a fresh or
// stale one, else as soon as its function responds. It returns an error if it has not
// answered.
func (p *Pages) Serve(in Request) error {
	r := p.newRequest(in)
	token := r.Page.BypassToken
	switch method := r.HTTP.Method; {
	case r.run && r.bypasses():
		return r.Response.Output(r.bypassDecision())
	case r.Whole, method == http.MethodGet, method == http.MethodHead:
		r.applyRevalidatedTags(token)
		if r.run && sameSecret(token, r.HTTP.Header.Get(headerRevalidate)) {
			return r.revalidate()
		}
		return r.serve()
	default:
		return problem.WithField(lateen.ErrMethod, "Allow", "GET, HEAD")
	}
}

// applyRevalidatedTags applies the invalidation of tags that a function of this site
// reports in its request for a page, if the request has the token: such a request
// arrives before the function's own response, which reports the invalidation too.
func (r *request) applyRevalidatedTags(token string) {
	h := r.HTTP.Header
	if h[headerRevalidatedTags] == nil || !sameSecret(token, h.Get(headerTagToken)) {
		return
	}
	r.pages.o.Functions.Invalidate(r.Site, h[headerRevalidatedTags], 0)
}

// serve answers with the cached page. It refreshes the page first if it is missing or
// expired, and in the background if it is stale.
func (r *request) serve() error {
	e, built := r.cachedPage()
	if e == nil {
		return r.make(cacheMiss, reasonCold, cache.PropagateNone)
	}
	defer e.Close()
	state, why := r.pages.o.Cache.State(r.key.Scope, e, r.now)
	switch {
	case !r.run:
		return r.send(e, hitOr(built, cachePrerender), "")
	case built && r.variant.several && accept.IsCrawler(r.HTTP.UserAgent()):
		return r.make(cacheMiss, reasonCrawler, cache.PropagateNone)
	case built && r.variant.several: // the build made one fallback for many pages, and not yet this page
		r.refresh(cache.PropagateNone)
		return r.send(e, cachePrerender, "")
	case state == cache.Fresh:
		return r.send(e, hitOr(built, cachePrerender), "")
	case state == cache.Stale:
		return r.sendStale(e, built, why)
	case why == cache.ByTime:
		return r.make(cacheMiss, string(why), cache.PropagateStale)
	default:
		return r.make(cacheRevalidated, string(why), cache.PropagateNone)
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
func (r *request) sendStale(e *cache.Entry, built bool, why cache.Reason) error {
	label, reason, spread := cacheStale, string(why), cache.PropagateNone
	if why == cache.ByTime {
		spread = cache.PropagateStale
	}
	if built && why == cache.ByTime {
		label = cachePrerender
	}
	if r.pages.o.Cache.Failed(r.key, r.now) {
		reason = reasonStaleError
	}
	r.refresh(spread)
	return r.send(e, label, reason)
}

// revalidate refreshes the page for a request with the page's bypass token, and
// answers once the page is cached.
func (r *request) revalidate() error {
	if r.HTTP.Header.Get(headerIfGenerated) != "" && !r.generated() {
		r.Record.Cache = cacheMiss
		return lateen.ErrNotFound.With("the page does not exist yet")
	}
	how, inv := r.fill(cache.PropagateExpired, allowedHeader(r.HTTP.Header, r.Page))
	how.Since, how.Durable = r.pages.o.Cache.Now(), true
	f, leader, err := r.pages.o.Cache.Fill(r.HTTP.Context(), r.key, how)
	switch {
	case errors.Is(err, cache.ErrNotReusable):
		return r.serveUncached(reasonError)
	case err != nil:
		return loopError(err)
	}
	if leader {
		f.Leave() // it waits like the other requests
	}
	e, err := f.Wait(r.HTTP.Context())
	if leader && !errors.Is(err, cache.ErrBusy) {
		r.invoked(inv)
	}
	switch {
	case errors.Is(err, cache.ErrNotReusable):
		return r.serveUncached(reasonError)
	case err != nil:
		return err
	case f.Stored():
		defer e.Close()
		return r.send(e, cacheRevalidated, "")
	default:
		defer e.Close()
		return r.send(e, cacheMiss, reasonError)
	}
}

// maxJoins bounds the cache fills that a request waits for although they began too
// early for it.
const maxJoins = 3

// make starts a cache fill, or waits for the one in progress, and answers with its
// page.
func (r *request) make(label, reason string, spread cache.Propagation) error {
	if r.Hops > maxFillHops {
		return r.serveUncached(reason)
	}
	how, inv := r.fill(spread, nil)
	begin := r.pages.o.Cache.Now()
	for range maxJoins {
		f, leader, err := r.pages.o.Cache.Fill(r.HTTP.Context(), r.key, how)
		switch {
		case errors.Is(err, cache.ErrNotReusable):
			return r.serveUncached(reason)
		case err != nil:
			return loopError(err)
		case leader:
			return r.lead(f, inv, label, reason)
		case f.Grouped(): // the cache fill of another output of the group fills this page too
			label = cacheHit
		}
		e, err := f.Wait(r.HTTP.Context())
		switch {
		case errors.Is(err, cache.ErrNotReusable):
			return r.serveUncached(reason)
		case err != nil:
			return err
		}
		if state, _ := r.pages.o.Cache.State(r.key.Scope, e, r.now); f.Stored() && state == cache.Expired {
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
func (r *request) lead(f *cache.Flight, inv func() *lateen.Invocation, label, reason string) error {
	defer f.Leave()
	draft, err := f.Head(r.HTTP.Context())
	r.invoked(inv)
	if err != nil {
		return err
	}
	switch draft.Reuse {
	case cache.ReuseStored:
	case cache.ReuseNone:
		label = cacheMiss
	case cache.ReuseWaiting:
		label, reason = cacheMiss, reasonError
	}
	h := draft.Entry.Header.Clone()
	if draft.Length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(draft.Length, 10)}
	}
	r.Record.Cache, r.Record.CacheReason = label, reason
	err = r.reply(draft.Entry.Status, h, f.Body(r.HTTP.Context()))
	r.invoked(inv) // now with the cost
	return err
}

// serveUncached answers with a response that the function makes for this request only,
// and does not cache it.
func (r *request) serveUncached(reason string) error {
	how, inv := r.fill(cache.PropagateNone, nil)
	draft, err := how.Generate(lateen.WithClient(r.HTTP.Context(), r.Client.Network()))
	r.invoked(inv)
	if err != nil {
		return err
	}
	r.Record.Cache, r.Record.CacheReason = cacheMiss, reason
	err = r.reply(draft.Entry.Status, draft.Entry.Header, draft.Body)
	r.invoked(inv) // now with the cost
	return err
}

// invoked records the invocation as far as it is known.
func (r *request) invoked(inv func() *lateen.Invocation) {
	r.Record.Invocation = inv()
}

// loopError replaces the error of a page whose fill would wait for itself with
// the error of a request loop.
func loopError(err error) error {
	if errors.Is(err, cache.ErrCycle) {
		return problem.ErrLoop.Because(err)
	}
	return err
}
