package coding

import (
	"bytes"
	"net/http"
	"strconv"
)

// Page is the body of a cached page in memory.
type Page struct {
	*bytes.Reader

	Forms Forms
}

// Forms has the compressed forms of a body. Variant makes each with encode once.
type Forms interface {
	Variant(coding string, encode func(body []byte) []byte) []byte
}

// In returns the body in a coding, "" being none, and sets its length in h. The body
// is compressed once for all requests.
func (b *Page) In(coding string, c *Codings, h http.Header) *bytes.Reader {
	if coding == "" {
		return b.Reader
	}
	whole := b.Forms.Variant(coding, func(body []byte) []byte { return c.encodeAll(coding, body) })
	h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	return bytes.NewReader(whole)
}
