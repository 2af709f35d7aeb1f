package edge

import (
	"io"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen/internal/server"
)

// maxPerDeadline is the number of bytes of a file that are sent under one deadline. A client
// that receives less in a stall timeout has stalled (9 KB/s for a minute).
const maxPerDeadline = 512 << 10

// closing is the value of Connection that ends a connection; it is never modified.
var closing = []string{"close"} //nolint:gochecknoglobals // a constant in all but name

// writer counts the bytes sent and extends the connection's write deadline with every
// write: the total time of a response has no limit, and a client that receives nothing
// for the stall timeout is cut off.
type writer struct {
	http.ResponseWriter

	deadlines http.ResponseController
	stall     time.Duration
	http2     bool
	body      interface{ unread() bool } // body of the request; nil if it has none
	server    *server.Server             // its Ends may require that connections end after their response; nil never does
	closes    bool                       // whether the connection must end after the response: see [newWriter]
	begun     bool                       // whether the header is complete
	written   int64                      // bytes of the body that were sent
}

// newWriter returns a writer for the response to r. The connection ends after the
// response to a chunked HTTP/1.1 request and to any HTTP/1.0 request. It must end if
// the chunked request also had a Content-Length, or the HTTP/1.0 request had a
// Transfer-Encoding (RFC 9112 §6.1, §6.3), but net/http has removed those fields. In
// these cases, bytes that a proxy took for the body could be read as the next request.
func newWriter(w http.ResponseWriter, r *http.Request, stall time.Duration) *writer {
	out := &writer{ResponseWriter: w, deadlines: *http.NewResponseController(w), stall: stall, http2: r.ProtoMajor >= 2}
	if !out.http2 {
		out.closes = r.ProtoMinor == 0 || len(r.TransferEncoding) > 0
		out.extend() // also covers bytes that are sent after the handler has returned
	}
	return out
}

// Unwrap lets an [http.ResponseController] find the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the header.
func (w *writer) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

// begin completes the header. A response that starts before the end of the request
// ends the connection: the rest of the request is not worth waiting for, and must
// never be read as the next request. On HTTP/2 the server sends a GOAWAY in place of
// the Connection field.
func (w *writer) begin() {
	if !w.begun && (w.closes || !w.http2 && w.body != nil && w.body.unread() || w.server != nil && w.server.Ends()) {
		w.Header()["Connection"] = closing
	}
	w.begun = true
}

// Write sends p.
func (w *writer) Write(p []byte) (int, error) {
	w.begin()
	w.extend()
	defer w.relax()
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// Flush sends the buffered bytes; the next Write returns its error.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError sends the buffered bytes.
func (w *writer) FlushError() error {
	w.begin()
	w.extend()
	defer w.relax()
	return w.deadlines.Flush()
}

// ReadFrom sends all of src. The kernel sends a file by itself if it can.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	var total int64
	for {
		n, err := w.send(src, maxPerDeadline)
		total += n
		if err != nil || n < maxPerDeadline {
			return total, err
		}
	}
}

// sendN sends exactly n bytes of src.
func (w *writer) sendN(src io.Reader, n int64) error {
	for n > 0 {
		sent, err := w.send(src, min(n, maxPerDeadline))
		if err != nil {
			return err
		}
		if n -= sent; sent == 0 {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// send sends up to n bytes of src. net/http recognizes a file in a single
// [io.LimitedReader] and uses sendfile(2).
func (w *writer) send(src io.Reader, n int64) (int64, error) {
	w.begin()
	w.extend()
	defer w.relax()
	sent, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: src, N: n})
	w.written += sent
	return sent, err
}

// extend sets the write deadline to the stall timeout from now. An error means that
// the writer supports no deadlines, as in a test.
func (w *writer) extend() { _ = w.deadlines.SetWriteDeadline(time.Now().Add(w.stall)) }

// relax removes the write deadline on HTTP/2, which resets a stream whose deadline
// passes even if no write is in progress.
func (w *writer) relax() {
	if w.http2 {
		_ = w.deadlines.SetWriteDeadline(time.Time{})
	}
}

// afterResponse calls over once the client has the complete response or the stall
// timeout has passed: on HTTP/2, the end of a response may wait for the client after
// its handler has returned.
func (w *writer) afterResponse(over func()) {
	stream, ok := w.ResponseWriter.(http.CloseNotifier) //nolint:staticcheck // the request's context ends with the handler
	if !w.http2 || !ok {
		over()
		return
	}
	w.extend()
	closed := stream.CloseNotify()
	go func() { // ends with the stream
		<-closed
		over()
	}()
}
