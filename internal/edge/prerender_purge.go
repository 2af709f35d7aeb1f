package edge

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

const (
	// headerPurge carries, in a function's response, the invalidations that the function
	// made. Each value is an encoded form: tag=… for each tag, and expire=SECONDS after
	// which a stale page may no longer be served; without expire, a stale page may be
	// served as long as it is usable. [Edge.Purge] handles invalidations after the header.
	headerPurge = "X-Lateen-Purge"
	// headerInvalidated carries, to a function, the time of the last invalidation of tags
	// of its deployment, in Unix milliseconds: data that an instance remembers from before
	// may be invalid. It is absent if there was no invalidation.
	headerInvalidated = "X-Lateen-Invalidated"
	// headerInvocation carries, to a function, the ID of the call. A framework remembers
	// its rendering under this ID, for all parts of one page; without it, a refreshed
	// page could repeat an earlier rendering.
	headerInvocation = "X-Invocation-Id"
)

// maxPurged bounds the tags of one invalidation by user code.
const maxPurged = 1024

// Purge makes the cached pages of deployment d that have one of tags stale, and expired
// after grace: immediately if grace is 0, never if it is negative.
func (e *Edge) Purge(d lateen.DeploymentID, tags []string, grace time.Duration) error {
	return e.o.Cache.Invalidate([]string{string(d)}, tags, grace)
}

// invalidate calls Purge for an invalidation by user code. It logs a failure, which is
// the platform's own; the invalidation then applies until a restart only.
func (e *Edge) invalidate(s *site, tags []string, grace time.Duration) {
	if len(tags) == 0 || e.o.Cache == nil {
		return
	}
	if err := e.Purge(s.Deployment, tags[:min(len(tags), maxPurged)], grace); err != nil {
		e.o.Log.Error("an invalidation may not survive a restart", "deployment_id", string(s.Deployment), "err", err)
	}
}

// setFunctionHeaders sets headerInvocation and headerInvalidated on the header of a
// function's request.
func (e *Edge) setFunctionHeaders(h http.Header, x *exchange) {
	h[header.Invocation] = []string{string(x.id)}
	if e.o.Cache == nil {
		return
	}
	if at := e.o.Cache.Invalidated(string(x.site.Deployment)); !at.IsZero() {
		h[headerInvalidated] = []string{strconv.FormatInt(at.Add(time.Millisecond-1).UnixMilli(), 10)}
	}
}

// applyPurges applies the invalidations in the header of a function's response, and
// removes [headerPurge], before the response is used.
func (e *Edge) applyPurges(s *site, h http.Header) {
	values := h[headerPurge]
	delete(h, headerPurge)
	for _, value := range values {
		form, err := url.ParseQuery(value)
		if err != nil {
			continue // user code set this value: those of the guest are valid
		}
		e.invalidate(s, cache.SplitTags(form["tag"]), graceOf(form.Get("expire")))
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
