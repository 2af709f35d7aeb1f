package edge

import (
	"io"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen/internal/server"
)

// stretch is how much of a file is sent under one deadline: a client that
// takes less than this in a stall timeout has stalled (9 KB/s of a minute).
const stretch = 512 << 10

// writer counts what is sent and keeps the connection's write deadline ahead of
// its progress: a response may take as long as it likes, a client that takes
// nothing for the stall timeout is cut off.
type writer struct {
	http.ResponseWriter

	deadlines http.ResponseController
	stall     time.Duration
	http2     bool
	body      *upload        // of the request; nil where it has none
	server    *server.Server // may want every connection to end behind its response; nil: none does
	closes    bool           // the connection is to end behind the response: see [newWriter]
	begun     bool           // the header is on its way
	written   int64          // bytes of the body
}

// newWriter returns a writer for the response to r. The connection ends with a
// response to a chunked HTTP/1.1 request, or any HTTP/1.0 request: it must where
// the request also has a Content-Length, or has a Transfer-Encoding in HTTP/1.0
// (RFC 9112 §6.1, §6.3), and net/http has removed those fields. What a sender in
// front took for the body may be on the connection as the next request.
func newWriter(w http.ResponseWriter, r *http.Request, stall time.Duration) *writer {
	out := &writer{ResponseWriter: w, deadlines: *http.NewResponseController(w), stall: stall, http2: r.ProtoMajor >= 2}
	if !out.http2 {
		out.closes = r.ProtoMinor == 0 || len(r.TransferEncoding) > 0
		out.extend() // for what is sent after the handler returned, too
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

// begin completes the header. A response that starts before the request has
// been read ends the connection: its rest is not worth waiting for, and must
// never be taken for the next request. On HTTP/2 the server sends a GOAWAY instead of
// the header.
func (w *writer) begin() {
	if !w.begun && (w.closes || !w.http2 && w.body.unread() || w.server != nil && w.server.Ends()) {
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

// Flush sends what is buffered; its error shows in the next Write.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered.
func (w *writer) FlushError() error {
	w.begin()
	w.extend()
	defer w.relax()
	return w.deadlines.Flush()
}

// ReadFrom sends all of src. A file is handed to the kernel where it can do the work.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	var total int64
	for {
		n, err := w.send(src, stretch)
		total += n
		if err != nil || n < stretch {
			return total, err
		}
	}
}

// sendN sends exactly n bytes of src.
func (w *writer) sendN(src io.Reader, n int64) error {
	for n > 0 {
		sent, err := w.send(src, min(n, stretch))
		if err != nil {
			return err
		}
		if n -= sent; sent == 0 {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// send sends up to n bytes of src. The one limit around it is what lets
// net/http recognise a file and use sendfile(2).
func (w *writer) send(src io.Reader, n int64) (int64, error) {
	w.begin()
	w.extend()
	defer w.relax()
	sent, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: src, N: n})
	w.written += sent
	return sent, err
}

// extend gives the client until the stall timeout to take what is sent next.
// An error means that the writer has no deadlines, as in a test.
func (w *writer) extend() { _ = w.deadlines.SetWriteDeadline(time.Now().Add(w.stall)) }

// relax takes the deadline back where its passing alone would end the stream:
// HTTP/2 resets a stream whose deadline passes even if nothing is being written.
func (w *writer) relax() {
	if w.http2 {
		_ = w.deadlines.SetWriteDeadline(time.Time{})
	}
}

// rest calls over once the client has the whole response, for which it gets until the
// stall timeout: on HTTP/2, what is left of one waits for the client behind its handler.
func (w *writer) rest(over func()) {
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
