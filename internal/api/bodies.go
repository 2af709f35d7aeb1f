package api

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// bodies limits the memory for the bodies of requests for deployments, each of many
// megabytes. A body reserves memory as its bytes arrive, from the share of its team
// and token.
type bodies struct {
	mu   sync.Mutex // guards the fields below
	room *share.Shares[string]
}

func newBodies(bytes int64) *bodies { return &bodies{room: share.New[string](bytes)} }

// bodyStep is the number of bytes that a body reserves at a time.
const bodyStep = 256 << 10

// read reads the body of r, and returns a function that releases its memory.
func (b *bodies) read(r *http.Request) (body []byte, done func(), err error) {
	p := lateen.PrincipalFrom(r.Context())
	tenants, taken := []string{string(p.Team), string(p.Token)}, int64(0)
	done = func() { b.give(taken, tenants) }
	for buf := make([]byte, 32<<10); ; {
		n, err := r.Body.Read(buf)
		for int64(len(body)+n) > taken {
			if !b.take(bodyStep, tenants) {
				done()
				return nil, nil, errBusy
			}
			taken += bodyStep
		}
		body = append(body, buf[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return body, done, nil
		case err != nil:
			done()
			return nil, nil, bodyError(err)
		}
	}
}

func (b *bodies) take(n int64, tenants []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.room.Take(n, tenants...)
}

func (b *bodies) give(n int64, tenants []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room.Give(n, tenants...)
}
