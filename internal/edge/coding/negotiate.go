package coding

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/route"
)

// minCompressed is the length in bytes below which a response is not compressed.
const minCompressed = 1024

// Negotiate chooses the content coding of a response with header h, which is otherwise
// complete, for a request, and sets Vary; "" means that the response is sent
// uncompressed. Event streams are never compressed, because their readers expect each
// event immediately, through all proxies between. [Apply] sets the chosen coding.
func Negotiate(status int, request, h http.Header) string {
	switch {
	case status == http.StatusNotModified:
		notModified(request, h)
		return ""
	case !header.AllowsBody(status), status == http.StatusPartialContent, !compressible(h):
		return ""
	default:
		return choose(request, h)
	}
}

// notModified gives the header h of a 304 the ETag and the Vary of the 200 response
// in its place (RFC 9110 §15.4.5). If h has no Content-Type, the entity tag in the
// request shows whether the client has a compressed form: that tag is weak.
func notModified(request, h http.Header) {
	switch {
	case h["Content-Type"] != nil:
		if compressible(h) {
			Apply(h, choose(request, h))
		}
	case h["Content-Encoding"] != nil, cache.NoTransform(h):
	default:
		Vary(h)
		if etag := h.Get("Etag"); etag != "" && slices.ContainsFunc(request["If-None-Match"], func(list string) bool { return strings.Contains(list, "W/"+etag) }) {
			h["Etag"] = []string{"W/" + etag}
		}
	}
	maps.DeleteFunc(h, func(name string, _ []string) bool { return slices.Contains(ofContent, name) })
}

// ofContent are the header fields that describe content; a 304 has no content.
var ofContent = []string{"Content-Encoding", "Content-Language", "Content-Length", "Content-Type"} //nolint:gochecknoglobals // a constant in all but name

// Vary notes in h that the response depends on the codings that a client accepts.
func Vary(h http.Header) { h["Vary"] = route.AddVary(h["Vary"], "Accept-Encoding") }

// choose chooses a coding for compressible content with header h and sets Vary.
func choose(request, h http.Header) string {
	Vary(h)
	return accept.Coding(request["Accept-Encoding"], "zstd", "br", "gzip")
}

// Apply sets a coding in the header h; "" changes nothing.
func Apply(h http.Header, coding string) {
	if coding == "" {
		return
	}
	h["Content-Encoding"] = []string{coding}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	if etag := h.Get("Etag"); etag != "" && !strings.HasPrefix(etag, "W/") {
		h["Etag"] = []string{"W/" + etag} // semantically equivalent, not identical byte for byte
	}
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
