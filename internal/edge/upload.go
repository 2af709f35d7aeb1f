package edge

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// After the response, the rest of a body is read and dropped, so that a client
// that sends all of it before it reads gets the response: closing a connection
// with bytes that nobody has read resets it, and the client loses the response
// (RFC 9112 §9.6). drainTimeout bounds the time of that, drainBytes the amount.
const (
	drainTimeout = 5 * time.Second
	drainBytes   = 16 << 20
)

// upload is the body of a request: bounded, counted, and given a deadline with
// every read, so that a long upload may take its time and a stalled one ends.
// It may be read by another goroutine than the exchange's, until end.
type upload struct {
	from  io.ReadCloser
	w     *writer
	limit int64 // bytes; 0 is none
	asks  bool  // the client sends it once it is told to go on, which the first read does

	trailer http.Header // of the client's request, which reading the body to its end completes
	onward  http.Header // the fields of it that were announced, for the reader of the body; has values from its end on

	mu      sync.Mutex // guards below
	idle    *sync.Cond // no read is under way
	reading bool
	ended   bool
	whole   bool // read to its end
	read    int64
	failed  error // why reading ended before
}

// newUpload returns the body of r, or nil if it has none.
func newUpload(w *writer, r *http.Request, limit int64) *upload {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	u := &upload{from: r.Body, w: w, limit: limit, asks: r.Header["Expect"] != nil, trailer: r.Trailer, onward: maps.Clone(r.Trailer)}
	u.idle = sync.NewCond(&u.mu)
	w.body = u
	return u
}

// request returns a copy of r whose body is u. Reading that to its end changes its trailer.
func (u *upload) request(r *http.Request) *http.Request {
	if u == nil {
		return r
	}
	out := *r
	out.Body, out.Trailer = u, u.onward
	return &out
}

// Read reads on. Past the limit the error is [lateen.ErrFunctionPayload].
func (u *upload) Read(p []byte) (int, error) {
	if err := u.enter(); err != nil {
		return 0, err
	}
	n, err := u.from.Read(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reading = false
	u.idle.Broadcast()
	if u.w.http2 && !u.ended { // whose deadline would pass while nobody reads
		_ = u.w.deadlines.SetReadDeadline(time.Time{})
	}
	u.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		u.whole = true
		for name := range u.onward {
			u.onward[name] = u.trailer[name]
		}
	case err != nil && !u.ended:
		u.failed = err
	}
	if u.limit > 0 && u.read > u.limit {
		return 0, errBodyTooLarge(u.limit)
	}
	return n, err
}

func (u *upload) enter() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return http.ErrBodyReadAfterClose
	case u.limit > 0 && u.read > u.limit:
		return errBodyTooLarge(u.limit)
	case !u.whole: // past the end, a deadline would be the next request's
		_ = u.w.deadlines.SetReadDeadline(time.Now().Add(u.w.stall))
	}
	u.reading = true
	return nil
}

// Close does nothing: who reads a body does not own the connection; end does.
func (u *upload) Close() error { return nil }

// fault returns what the client did wrong in sending the body, or nil.
func (u *upload) fault() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.limit > 0 && u.read > u.limit:
		return errBodyTooLarge(u.limit)
	case errors.Is(u.failed, os.ErrDeadlineExceeded):
		return errStalled
	case u.failed != nil:
		return lateen.ErrInvalid.Because(u.failed)
	default:
		return nil
	}
}

// count returns how many bytes were read.
func (u *upload) count() int64 {
	if u == nil {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// unread reports whether some of the body may still be on its way.
func (u *upload) unread() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.whole
}

// end ends reading, before the handler returns: a read under way elsewhere is
// broken off. With answered the response was sent whole, and end drains the rest
// of the body, within bounds.
func (u *upload) end(answered bool) {
	if u == nil {
		return
	}
	u.w.begin() // where the handler leaves the header to the server
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for u.reading {
		_ = u.w.deadlines.SetReadDeadline(time.Unix(1, 0))
		u.idle.Wait()
	}
	if u.whole || u.w.http2 {
		return
	}
	_ = u.w.deadlines.SetReadDeadline(time.Now().Add(drainTimeout)) // the server reads on, too
	if !answered || u.failed != nil || u.asks && u.read == 0 {
		return
	}
	u.w.Flush()
	_, _ = io.CopyN(io.Discard, u.from, drainBytes)
}

func errBodyTooLarge(limit int64) error {
	return lateen.ErrFunctionPayload.With("the request's body is larger than the %d bytes a function takes", limit)
}
