package edge

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// send answers with e, conditionally if the client wants that.
func (r *rendering) send(e *cache.Entry, label, reason string) {
	r.record.Cache, r.record.CacheReason = label, reason
	h := keptHeader(e, r.now)
	if etag := h["Etag"][0]; !r.isError && e.Status == http.StatusOK && r.req.Header["If-None-Match"] != nil && weakMatch(r.req.Header["If-None-Match"], etag) {
		h["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)}
		r.edge.codings.negotiate(r.exchange, e.Status, h) // as the page itself has it
		maps.DeleteFunc(h, func(name string, _ []string) bool { return slices.Contains(ofContent, name) })
		r.respond(http.StatusNotModified, h, nil)
		return
	}
	body, size := r.encoded(e, h)
	h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	r.respond(e.Status, h, body)
}

// ofContent are the headers that say something of a body that a 304 has not.
var ofContent = []string{"Content-Encoding", "Content-Language", "Content-Length", "Content-Type"} //nolint:gochecknoglobals // a constant in all but name

// keptHeader is the header of e's response.
func keptHeader(e *cache.Entry, now time.Time) http.Header {
	h := e.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h["Etag"] == nil {
		h["Etag"] = []string{etagOf(e.Digest)}
	}
	h["Age"] = []string{strconv.FormatInt(int64(e.Age(now)/time.Second), 10)}
	return h
}

// encoded is the body of e and its length, in a coding the client accepts if it
// is in memory: it is compressed once for all who ask for it. h says so.
func (r *rendering) encoded(e *cache.Entry, h http.Header) (io.Reader, int64) {
	if e.Bytes() == nil || r.req.Method == http.MethodHead {
		return e.Body(), e.Size
	}
	h["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)} // what is short stays as it is
	coding := r.edge.codings.negotiate(r.exchange, e.Status, h)
	if coding == "" {
		return e.Body(), e.Size
	}
	b := e.Variant(coding, func(body []byte) []byte { return r.edge.codings.whole(coding, body) })
	return bytes.NewReader(b), int64(len(b))
}

// whole returns body in a coding.
func (c *codings) whole(coding string, body []byte) []byte {
	pool := c.encoders[coding]
	enc := pool.Get().(encoder) //nolint:errcheck // nothing else is in the pool
	defer func() { enc.Reset(nil); pool.Put(enc) }()
	var b bytes.Buffer
	enc.Reset(&b)
	_, _ = enc.Write(body) // a buffer takes everything
	_ = enc.Close()
	return bytes.Clone(b.Bytes())
}
