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
	// headerPurge is how a function says in its response what it has invalidated.
	// Each value is a form: tag=… for each tag, and expire=SECONDS after which
	// what is stale may no longer be served; without it, it may for as long as it
	// is usable. What is invalidated after the header is sent is told by [Edge.Purge].
	headerPurge = "X-Lateen-Purge"
	// headerInvalidated tells a function when tags of its deployment were last
	// invalidated, in Unix milliseconds: what an instance remembers from before
	// may be among what was. Absent, nothing ever was.
	headerInvalidated = "X-Lateen-Invalidated"
	// headerInvocation tells a function which call this is. A framework that
	// remembers what it rendered, for the parts of one page, does so under it;
	// without it, a page made anew may be one it made before.
	headerInvocation = "X-Invocation-Id"
)

// maxPurged bounds the tags of one response that are invalidated.
const maxPurged = 1024

// Purge makes the kept pages of deployment d with one of tags stale, and expired
// once grace has passed: at once if it is 0, never if it is negative.
func (e *Edge) Purge(d lateen.DeploymentID, tags []string, grace time.Duration) error {
	return e.o.Cache.Invalidate([]string{string(d)}, tags, grace)
}

// invalidate is Purge for what user code asks for: a failure is the platform's
// own, and holds until a restart all the same.
func (e *Edge) invalidate(s *site, tags []string, grace time.Duration) {
	if len(tags) == 0 || e.o.Cache == nil {
		return
	}
	if err := e.Purge(s.Deployment, tags[:min(len(tags), maxPurged)], grace); err != nil {
		e.o.Log.Error("an invalidation may not survive a restart", "deployment_id", string(s.Deployment), "err", err)
	}
}

// forgetPrerenders drops what is kept of a deployment that is deleted.
func (e *Edge) forgetPrerenders(d lateen.DeploymentID) {
	if e.o.Cache == nil {
		return
	}
	if err := e.o.Cache.Drop(string(d)); err != nil {
		e.o.Log.Error("the pages of a deleted deployment stay until nobody asks for them", "deployment_id", string(d), "err", err)
	}
}

// tellFunction sets on the header of a function's request which call it is, and
// when the tags of its deployment were last invalidated.
func (e *Edge) tellFunction(h http.Header, x *exchange) {
	h[headerInvocation] = []string{string(x.id)}
	if e.o.Cache == nil {
		return
	}
	if at := e.o.Cache.Invalidated(string(x.site.Deployment)); !at.IsZero() {
		h[headerInvalidated] = []string{strconv.FormatInt(at.Add(time.Millisecond-1).UnixMilli(), 10)}
	}
}

// heedPurges does and removes what the header of a function's response says
// under [headerPurge], before anybody sees the response.
func (e *Edge) heedPurges(s *site, h http.Header) {
	values := h[headerPurge]
	delete(h, headerPurge)
	for _, value := range values {
		form, err := url.ParseQuery(value)
		if err != nil {
			continue // user code wrote it, the guest writes forms
		}
		e.invalidate(s, splitTags(form["tag"]), graceOf(form.Get("expire")))
	}
}

// graceOf reads a number of seconds, whole or not; what is no number is none.
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

// tagHeaders are where functions name the tags of a response.
var tagHeaders = []string{"X-Next-Cache-Tags", "Vercel-Cache-Tag"} //nolint:gochecknoglobals // a constant in all but name

// maxTags is how many tags of a response count.
const maxTags = 128

// takeTags removes the tags from the header of a response and returns them.
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

// splitTags returns the elements of the values of a header that is a list.
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
