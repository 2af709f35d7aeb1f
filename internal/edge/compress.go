package edge

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/share"
)

const (
	// minCompressed is the length in bytes below which a response is not compressed.
	minCompressed = 1024
	copyBuffer    = 32 << 10
	// maxEncoders bounds the encoders in use, of 1 to 2 MiB each; a slow client
	// holds one. Responses past a team's share are sent uncompressed.
	maxEncoders = 128
)

// encoder applies a content coding to a response.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// codings compresses responses that user code sends uncompressed. It reuses
// encoders and buffers.
type codings struct {
	encoders map[string]*sync.Pool // pools of encoder, by coding
	buffers  sync.Pool             // pool of *[copyBuffer]byte
	places   *share.Amount[string] // encoders in use, by team and project
}

func newCodings() *codings {
	return &codings{
		encoders: map[string]*sync.Pool{
			"br":   {New: func() any { return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: 4, LGWin: 18}) }},
			"gzip": {New: func() any { w, _ := gzip.NewWriterLevel(nil, 5); return w }}, // 5 is a level
			"zstd": {New: newZstd},
		},
		buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }},
		places:  share.NewAmount[string](maxEncoders),
	}
}

func newZstd() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil { // only an invalid option fails
		return nil
	}
	return w
}

// negotiate chooses the content coding of a response, sets it in the header h,
// which is otherwise complete, and returns it; "" means that the response is sent
// uncompressed. Event streams are never compressed, because their readers expect
// each event immediately, through all proxies between. encodes is set if
// compressing the response takes an encoder.
func (c *codings) negotiate(x *exchange, status int, h http.Header, encodes bool) string {
	switch {
	case x.record.Kind == kindStatic:
		if x.codings {
			varyByEncoding(h)
		}
		return ""
	case status == http.StatusNotModified:
		c.notModified(x, h)
		return ""
	case !bodyAllowed(status), status == http.StatusPartialContent, !compressible(h):
		return ""
	default:
		return c.choose(x, h, encodes)
	}
}

// notModified gives the header h of a 304 the ETag and the Vary of the 200 response
// in its place (RFC 9110 §15.4.5). If h has no Content-Type, the entity tag in the
// request tells whether the client has a compressed form: that tag is weak.
func (c *codings) notModified(x *exchange, h http.Header) {
	switch {
	case h["Content-Type"] != nil:
		if compressible(h) {
			c.choose(x, h, false)
		}
	case h["Content-Encoding"] != nil, cache.NoTransform(h):
	default:
		varyByEncoding(h)
		if etag := h.Get("Etag"); etag != "" && slices.ContainsFunc(x.req.Header["If-None-Match"], func(list string) bool { return strings.Contains(list, "W/"+etag) }) {
			h["Etag"] = []string{"W/" + etag}
		}
	}
	maps.DeleteFunc(h, func(name string, _ []string) bool { return slices.Contains(ofContent, name) })
}

// ofContent are the header fields that describe content; a 304 has no content.
var ofContent = []string{"Content-Encoding", "Content-Language", "Content-Length", "Content-Type"} //nolint:gochecknoglobals // a constant in all but name

func varyByEncoding(h http.Header) { h["Vary"] = route.AddVary(h["Vary"], "Accept-Encoding") }

// choose chooses a coding for compressible content, sets it in the header h and
// returns it.
func (c *codings) choose(x *exchange, h http.Header, encodes bool) string {
	varyByEncoding(h)
	coding := accept.Coding(x.req.Header["Accept-Encoding"], "zstd", "br", "gzip")
	if coding == "" {
		return ""
	}
	if encodes && !x.encodes && x.site != nil {
		if x.encodes = c.places.Take(1, string(x.site.Team), string(x.site.Project)); !x.encodes {
			return ""
		}
	}
	h["Content-Encoding"] = []string{coding}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	if etag := h.Get("Etag"); etag != "" && !strings.HasPrefix(etag, "W/") {
		h["Etag"] = []string{"W/" + etag} // semantically equivalent, not identical byte for byte
	}
	return coding
}

// compressible reports whether a response with header h may be compressed and
// becomes smaller by it.
func compressible(h http.Header) bool {
	if h["Content-Encoding"] != nil || h["Content-Range"] != nil {
		return false
	}
	if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil && n < minCompressed {
		return false
	}
	if cache.NoTransform(h) {
		return false
	}
	kind, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	kind = strings.TrimSpace(kind)
	return compressibleTypes[kind] || strings.HasPrefix(kind, "text/") && kind != "text/event-stream" ||
		strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

// compressibleTypes are the media types besides text that compression makes smaller.
var compressibleTypes = map[string]bool{
	"application/json": true, "application/javascript": true, "application/xml": true, "application/ndjson": true,
	"application/x-ndjson": true, "application/x-javascript": true, "application/wasm": true, "application/vnd.ms-fontobject": true,
	"application/manifest+json": true, "font/ttf": true, "font/otf": true, "image/bmp": true, "image/x-icon": true, "application/graphql": true,
}

// copy sends body to w in a coding; "" is no coding. If live, it flushes after each
// read. If body ends with an error, copy leaves the coded stream unfinished, so that
// the client sees a truncated response.
func (c *codings) copy(w *writer, body io.Reader, coding string, live bool) error {
	if coding == "" {
		return c.pour(w, w.Flush, body, live)
	}
	pool := c.encoders[coding]
	enc := pool.Get().(encoder) //nolint:errcheck // nothing else is in the pool
	enc.Reset(w)
	defer func() { enc.Reset(nil); pool.Put(enc) }()
	var failed error
	flush := func() {
		failed = errors.Join(failed, enc.Flush())
		w.Flush()
	}
	if err := c.pour(enc, flush, body, live); err != nil {
		return err
	}
	return errors.Join(failed, enc.Close())
}

// pour copies src to dst. If live, it calls flush after each read.
func (c *codings) pour(dst io.Writer, flush func(), src io.Reader, live bool) error {
	buf := c.buffers.Get().(*[copyBuffer]byte) //nolint:errcheck // nothing else is in the pool
	defer c.buffers.Put(buf)
	if live {
		flush() // send the header now: the body may come much later
	}
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			if live {
				flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return problem.Truncated(err)
		}
	}
}
