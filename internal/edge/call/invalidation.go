package call

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/site"
)

const (
	// headerPurge carries, in a function's response, the invalidations that the function
	// made. Each value is an encoded form: tag=… for each tag, expire=SECONDS after
	// which a stale page may no longer be served; without expire, a stale page may be
	// served as long as it is usable; and id=… if the data cache may have the invalidation
	// already. The engine reports invalidations after the header.
	headerPurge = "X-Lateen-Purge"
	// headerInvalidated carries, to a function, the time of the last invalidation of tags
	// of its deployment, in Unix milliseconds: data that an instance cached earlier
	// may be invalid. It is absent if there was no invalidation.
	headerInvalidated = "X-Lateen-Invalidated"
)

// maxPurged bounds the tags of one invalidation by user code.
const maxPurged = 1024

// invalidations passes the invalidations of user code to the cache, and the time of
// the last invalidation to user code.
type invalidations struct {
	cache *cache.Cache // nil drops them
	log   *slog.Logger
}

// apply implements [Caller.Invalidate].
func (i *invalidations) apply(s *site.Site, id string, tags []string, grace time.Duration) {
	if i.cache == nil {
		return
	}
	tags = cache.SplitTags(tags)
	if err := i.cache.InvalidateOnce(id, string(s.Deployment), tags[:min(len(tags), maxPurged)], grace); err != nil {
		i.log.Error("an invalidation may not survive a restart", "deployment_id", string(s.Deployment), "err", err)
	}
}

// setHeader sets headerInvalidated on the header of a request for a function of s.
func (i *invalidations) setHeader(h http.Header, s *site.Site) {
	if i.cache == nil {
		return
	}
	if at := i.cache.Invalidated(string(s.Deployment)); !at.IsZero() {
		h[headerInvalidated] = []string{strconv.FormatInt(at.Add(time.Millisecond-1).UnixMilli(), 10)}
	}
}

// receive applies the invalidations in the header of a function's response, and
// removes [headerPurge], before the response is used.
func (i *invalidations) receive(s *site.Site, h http.Header) {
	values := h[headerPurge]
	delete(h, headerPurge)
	for _, value := range values {
		form, err := url.ParseQuery(value)
		if err != nil {
			continue // user code set this value: those of the guest are valid
		}
		i.apply(s, form.Get("id"), form["tag"], graceOf(form.Get("expire")))
	}
}

// graceOf reads a number of seconds, which may have a fraction. "" is [cache.Soft]; an
// invalid or negative number is 0.
func graceOf(text string) time.Duration {
	if text == "" {
		return cache.Soft
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return time.Duration(min(n, cache.MaxSeconds) * float64(time.Second))
}
