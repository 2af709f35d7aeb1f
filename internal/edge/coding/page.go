package coding

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/lateen-dev/lateen/internal/cache"
)

// Page is the body of a cached page in memory.
type Page struct {
	*bytes.Reader

	Entry *cache.Entry // has the compressed forms of the body
}

// In returns the body in a coding, "" being none, and sets its length in h. The body
// is compressed once for all requests.
func (b *Page) In(coding string, c *Codings, h http.Header) *bytes.Reader {
	if coding == "" {
		return b.Reader
	}
	whole := b.Entry.Variant(coding, func(body []byte) []byte { return c.encodeAll(coding, body) })
	h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	return bytes.NewReader(whole)
}
