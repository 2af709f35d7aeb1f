package edge

import (
	"bytes"
	"errors"
	"io"

	"github.com/lateen-dev/lateen/internal/edge/problem"
)

// gather reads r to its end. It reserves memory in pieces of copyBuffer as the bytes
// arrive, until the exchange ends; an announced body that does not arrive costs one
// piece. The error is [problem.ErrOverloaded] if the site's share is used up.
func (x *exchange) gather(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		if !x.edge.memory.Take(copyBuffer, string(x.Site.Team), string(x.Site.Project)) {
			return nil, problem.ErrOverloaded
		}
		x.held += copyBuffer
		switch n, err := io.CopyN(&b, r, copyBuffer); {
		case n < copyBuffer && errors.Is(err, io.EOF):
			return b.Bytes(), nil
		case err != nil:
			return nil, err
		}
	}
}
