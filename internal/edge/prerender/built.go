package prerender

import (
	"context"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// cachedPage returns the entry of the page, which the caller closes, or nil. built is set
// for the page from the build that no later page has replaced.
func (r *request) cachedPage() (e *cache.Entry, built bool) {
	r.seen = cache.Unseen()
	if e := r.pages.o.Cache.Get(r.key); e != nil {
		r.seen = e.Started
		return e, false
	}
	if r.Page.Fallback == nil {
		return nil, false
	}
	e, err := r.fallback(r.HTTP.Context())
	if err != nil {
		r.pages.o.Log.ErrorContext(r.HTTP.Context(), "a prerendered page could not be read", "deployment_id", string(r.Site.Deployment), "output", r.Decision.Output, "err", err)
		return nil, false
	}
	if !r.variant.several {
		r.pages.o.Cache.Seed(r.key, e) // later requests are hits
		r.seen = e.Started
	}
	return e, true
}

// fallback returns the response from the build as an entry whose age counts from the
// creation of the deployment. Its creation time is before every invalidation of the
// deployment.
func (r *request) fallback(ctx context.Context) (*cache.Entry, error) {
	f := r.Page.Fallback
	e := &cache.Entry{
		Status: f.Status, Header: make(http.Header, len(f.Headers)+1), Group: r.group,
		Started: time.Unix(0, 0), Completed: r.Site.CreatedAt.Time(),
		Fresh: cache.FreshFor(r.Page), Usable: cache.Seconds(r.Page.StaleExpiration), Digest: f.Digest,
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
		body, err := r.pages.o.Artifacts.Open(ctx, f.Digest)
		if err != nil {
			return nil, err
		}
		e.SetFile(body, f.Size)
		return e, nil
	}
	b, err := artifact.Read(ctx, r.pages.o.Artifacts, f.Digest)
	if err != nil {
		return nil, err
	}
	e.SetBody(b)
	return e, nil
}

// maxInlineFallback is the size in bytes up to which a fallback is read into memory.
const maxInlineFallback = 256 << 10

// generated reports whether the page exists.
func (r *request) generated() bool {
	e, _ := r.cachedPage()
	if e == nil {
		return false
	}
	e.Close()
	return true
}
