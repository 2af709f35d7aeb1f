package edge

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
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
	h[headerInvocation] = []string{string(x.id)}
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
		e.invalidate(s, splitTags(form["tag"]), graceOf(form.Get("expire")))
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
	return time.Duration(min(n, maxSeconds) * float64(time.Second))
}

// tagHeaders are the fields in which functions name the cache tags of a response.
var tagHeaders = []string{"X-Next-Cache-Tags", "Vercel-Cache-Tag"} //nolint:gochecknoglobals // a constant in all but name

// maxTags bounds the cache tags of a response; further tags are ignored.
const maxTags = 128

// takeTags removes the cache tags from the header of a response and returns them.
func takeTags(h http.Header) []string {
	var tags []string
	for _, name := range tagHeaders {
		tags = append(tags, splitTags(h[name])...)
		delete(h, name)
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	return slices.Clip(tags[:min(len(tags), maxTags)])
}

// splitTags returns the elements of the values of a list field.
func splitTags(values []string) []string {
	var tags []string
	for _, value := range values {
		for tag := range strings.SplitSeq(value, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, strings.ToValidUTF8(tag, "\uFFFD"))
			}
		}
	}
	return tags
}
