package edge

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// send answers with e. It evaluates the request's If-None-Match unless a route forces
// a status: see [header.DropConditions].
func (r *pageRequest) send(e *cache.Entry, label, reason string) {
	r.record.Cache, r.record.CacheReason = label, reason
	h := cachedHeader(e, r.now)
	if s, ok := r.shellOf(e.Header); ok {
		r.resume(s, e.Status, h, e.Body())
		return
	}
	h["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)}
	switch {
	case !r.isError && r.d.Status == 0 && e.Status == http.StatusOK && r.req.Header["If-None-Match"] != nil && header.WeakMatch(r.req.Header["If-None-Match"], h["Etag"][0]):
		r.respond(http.StatusNotModified, h, nil)
	case e.Bytes() == nil || r.req.Method == http.MethodHead:
		r.respond(e.Status, h, e.Body())
	default:
		r.respond(e.Status, h, &cachedBody{bytes.NewReader(e.Bytes()), e})
	}
}

// cachedBody is the body of a cached page in memory.
type cachedBody struct {
	*bytes.Reader

	page *cache.Entry
}

// in returns the body in a coding, "" being none, and sets its length in h. The body
// is compressed once for all requests.
func (b *cachedBody) in(coding string, c *codings, h http.Header) *bytes.Reader {
	if coding == "" {
		return b.Reader
	}
	whole := b.page.Variant(coding, func(body []byte) []byte { return c.encodeAll(coding, body) })
	h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	return bytes.NewReader(whole)
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

// encodeAll returns the complete body in a coding.
func (c *codings) encodeAll(coding string, body []byte) []byte {
	pool := c.encoders[coding]
	enc := pool.Get().(encoder) //nolint:errcheck // nothing else is in the pool
	defer func() { enc.Reset(nil); pool.Put(enc) }()
	var b bytes.Buffer
	enc.Reset(&b)
	_, _ = enc.Write(body) // a write to a buffer cannot fail
	_ = enc.Close()
	return bytes.Clone(b.Bytes())
}
