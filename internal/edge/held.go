package edge

import (
	"bytes"
	"errors"
	"io"
)

// heldBodies bounds the bodies held in memory at once: requests' for
// middlewares, and responses of functions that do not stream. Teams divide it,
// and projects what their team has.
const heldBodies = 512 << 20

// gather reads r to its end. It takes memory piece by piece as the bytes come,
// until the exchange ends: a body that is only announced takes a piece. The error
// is [errOverloaded] where the site has its share.
func (x *exchange) gather(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		if !x.edge.memory.Take(copyBuffer, string(x.site.Team), string(x.site.Project)) {
			return nil, errOverloaded
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
