package prerender

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/coding"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// send answers with e. It evaluates the request's If-None-Match unless a route forces
// a status: see [header.DropConditions].
func (r *request) send(e *cache.Entry, label, reason string) error {
	r.Record.Cache, r.Record.CacheReason = label, reason
	h := cachedHeader(e, r.now)
	if s, ok := r.shellOf(e.Header); ok {
		return r.resume(s, e.Status, h, e.Body())
	}
	h["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)}
	switch {
	case !r.Whole && r.Decision.Status == 0 && e.Status == http.StatusOK && r.HTTP.Header["If-None-Match"] != nil && header.WeakMatch(r.HTTP.Header["If-None-Match"], h["Etag"][0]):
		r.Response.Respond(http.StatusNotModified, h, nil)
	case e.Bytes() == nil || r.HTTP.Method == http.MethodHead:
		r.Response.Respond(e.Status, h, e.Body())
	default:
		r.Response.Respond(e.Status, h, &coding.Page{Reader: bytes.NewReader(e.Bytes()), Entry: e})
	}
	return nil
}

// cachedHeader returns the header of the response with e.
func cachedHeader(e *cache.Entry, now time.Time) http.Header {
	h := e.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h["Etag"] == nil {
		h["Etag"] = []string{header.Tag(e.Digest)}
	}
	h["Age"] = []string{strconv.FormatInt(int64(e.Age(now)/time.Second), 10)}
	return h
}

// reply answers with a cached page or the body of a cache fill. The function of the
// page's chain completes a shell. reply closes body if that is an [io.Closer].
func (r *request) reply(status int, h http.Header, body io.Reader) error {
	if s, ok := r.shellOf(h); ok {
		return r.resume(s, status, h, body)
	}
	r.Response.Respond(status, h, body)
	return nil
}
