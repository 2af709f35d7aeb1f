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
	"github.com/lateen-dev/lateen/internal/edge/problem"
)

// After the response, the edge reads and drops the rest of a request body, so that a
// client that sends the whole body before it reads gets the response: closing a
// connection with unread bytes resets it, and the client loses the response (RFC 9112
// §9.6). drainTimeout bounds the time of this, drainBytes the amount.
const (
	drainTimeout = 5 * time.Second
	drainBytes   = 16 << 20
)

// upload is the body of a request. It is bounded and counted, and every read extends
// the deadline, so that a long upload may continue and a stalled one ends. Another
// goroutine than the exchange's may read it until end.
type upload struct {
	from            io.ReadCloser
	w               *writer
	limit           int64 // maximum bytes; 0 is no limit
	expectsContinue bool  // whether the client waits for a 100 Continue, which the first read sends

	trailer http.Header // trailer of the client's request; net/http sets its values at the end of the body
	onward  http.Header // announced fields of trailer, for the reader of the body; has values after the end of the body

	mu       sync.Mutex // guards the fields below
	idle     *sync.Cond // signals the end of a read
	reading  bool
	ended    bool
	complete bool // whether the body was read to its end
	read     int64
	failed   error // error that ended reading before the end of the body
}

// newUpload returns the body of r, or nil if it has none.
func newUpload(w *writer, r *http.Request, limit int64) *upload {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	u := &upload{from: r.Body, w: w, limit: limit, expectsContinue: r.Header["Expect"] != nil, trailer: r.Trailer, onward: maps.Clone(r.Trailer)}
	u.idle = sync.NewCond(&u.mu)
	w.body = u
	return u
}

// request returns a copy of r whose body is u. Reading u to its end changes the copy's
// trailer.
func (u *upload) request(r *http.Request) *http.Request {
	if u == nil {
		return r
	}
	out := *r
	out.Body, out.Trailer = u, u.onward
	return &out
}

// admit refuses a body whose Content-Length is too large.
func (u *upload) admit(length int64) error {
	if u != nil && length > u.limit {
		return errBodyTooLarge(u.limit)
	}
	return nil
}

// Read implements [io.Reader]. Past the limit the error is [lateen.ErrFunctionPayload].
func (u *upload) Read(p []byte) (int, error) {
	if err := u.enter(); err != nil {
		return 0, err
	}
	n, err := u.from.Read(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reading = false
	u.idle.Broadcast()
	if u.w.http2 && !u.ended { // the deadline would pass between two reads
		_ = u.w.deadlines.SetReadDeadline(time.Time{})
	}
	u.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		u.complete = true
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
	case !u.complete: // after the end, a deadline would apply to the next request
		_ = u.w.deadlines.SetReadDeadline(time.Now().Add(u.w.stall))
	}
	u.reading = true
	return nil
}

// Close does nothing: the reader of a body does not own the connection. See end.
func (u *upload) Close() error { return nil }

// fault returns the client's error in sending the body, or nil.
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
		return problem.ErrStalled
	case u.failed != nil:
		return lateen.ErrInvalid.Because(u.failed)
	default:
		return nil
	}
}

// count returns the number of bytes read.
func (u *upload) count() int64 {
	if u == nil {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// unread reports whether the body has not been read to its end.
func (u *upload) unread() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.complete
}

// end ends reading before the handler returns, and interrupts a read in another
// goroutine. If answered, the complete response was sent, and end drains the rest of
// the body within bounds.
func (u *upload) end(answered bool) {
	if u == nil {
		return
	}
	u.w.begin() // if the handler has not written a header
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for u.reading {
		_ = u.w.deadlines.SetReadDeadline(time.Unix(1, 0))
		u.idle.Wait()
	}
	if u.complete || u.w.http2 {
		return
	}
	_ = u.w.deadlines.SetReadDeadline(time.Now().Add(drainTimeout)) // net/http reads the rest, too
	if !answered || u.failed != nil || u.expectsContinue && u.read == 0 {
		return
	}
	u.w.Flush()
	_, _ = io.CopyN(io.Discard, u.from, drainBytes)
}

func errBodyTooLarge(limit int64) error {
	return lateen.ErrFunctionPayload.With("the request's body is larger than the %d bytes a function takes", limit)
}
