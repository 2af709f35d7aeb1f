package worker

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// outbound is the client's part of an invocation: the head, and the body as soon as
// the worker asks for it. So a body is not read while its request waits for an
// instance.
type outbound struct {
	head    []byte
	trailer http.Header   // of the request; has values after the end of the body
	begun   chan struct{} // closed when the body is wanted
	ended   chan struct{} // closed at the end of the invocation
	length  int64         // Content-Length of the body; negative is unknown
	waits   bool          // there is a body, or may be one after a switch of protocols

	mu     sync.Mutex // guards the fields below
	body   io.Reader  // nil if there is none
	began  bool       // begun is closed
	over   bool       // ended is closed
	used   bool       // the transport has read bytes
	failed error      // error in reading the body
	latest *stream
}

func newOutbound(head []byte, req *http.Request) *outbound {
	o := &outbound{head: head, trailer: req.Trailer, length: -1, begun: make(chan struct{}), ended: make(chan struct{})}
	if hasBody(req) {
		o.body, o.length, o.waits = req.Body, req.ContentLength, true
	}
	o.waits = o.waits || httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade")
	return o
}

// begin sends the body.
func (o *outbound) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.began && o.body != nil {
		o.began = true
		close(o.begun)
	}
}

// switchTo sends the bytes of r, after a switch of protocols.
func (o *outbound) switchTo(r io.Reader) {
	o.mu.Lock()
	o.body = r
	o.mu.Unlock()
	o.begin()
}

// end ends the stream.
func (o *outbound) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.over = true
		close(o.ended)
	}
}

// take returns the body for a reader that has sent the head.
func (o *outbound) take() io.Reader {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.body
}

// use notes that the transport has read bytes.
func (o *outbound) use() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.used = true
}

// sent reports whether the worker may have received the request.
func (o *outbound) sent() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.used
}

func (o *outbound) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = err
}

// failure returns the error in reading the request's body.
func (o *outbound) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// sever ends the stream, also while its body has no bytes: until it is read, the transport
// does not notice that the context of a request has ended.
func (o *outbound) sever() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.latest != nil {
		_ = o.latest.Close() // never fails
	}
}

// stream returns the bytes for a stream. The transport asks for another stream if the
// worker refused the first one unread; it has not asked for the body then.
func (o *outbound) stream() io.ReadCloser {
	s := &stream{outbound: o, rest: o.head, closed: make(chan struct{})}
	if o.waits {
		s.frames, s.sink = io.Pipe()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.used, o.latest = false, s
	return s
}

// stream is the request's part of a stream to the worker, as the transport reads it.
type stream struct {
	outbound *outbound
	rest     []byte // unread bytes of the head
	frames   *io.PipeReader
	sink     *io.PipeWriter // takes the frames of the body; nil if there is none, or if send has it
	once     sync.Once
	closed   chan struct{}
}

// Read implements [io.Reader]. Close interrupts it, also while the body has no bytes:
// the transport ends a broken response only after this.
func (s *stream) Read(p []byte) (int, error) {
	s.outbound.use()
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if s.frames == nil {
		return 0, io.EOF
	}
	if s.sink != nil {
		select {
		case <-s.outbound.begun:
		case <-s.outbound.ended:
			return 0, io.EOF
		case <-s.closed:
			return 0, io.ErrClosedPipe
		}
		go s.outbound.send(s.sink) // ends with the body, or with its next bytes after Close
		s.sink = nil
	}
	return s.frames.Read(p)
}

// Close implements [io.Closer]: the transport reads no more.
func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.closed)
		if s.frames != nil {
			_ = s.frames.Close() // never fails
		}
	})
	return nil
}

// send writes the body and its end as frames.
func (o *outbound) send(to *io.PipeWriter) {
	body := o.take()
	if switched, ok := body.(*io.PipeReader); ok {
		defer func() { _ = switched.Close() }() // Write fails from now on
	}
	open, err := o.sendBody(to, body)
	if !open {
		return
	}
	m := &ending{trailer: o.trailer}
	if !errors.Is(err, io.EOF) {
		o.fail(err)
		m.err = err
	}
	frame, err := m.encode()
	if err == nil {
		_, err = to.Write(frame)
	}
	_ = to.CloseWithError(err) // never fails
}

// sendBody writes the body as frames. The error is the result of reading it, which is
// [io.EOF] at its end, unless open is false: the transport has closed the stream.
func (o *outbound) sendBody(to io.Writer, body io.Reader) (open bool, err error) {
	buf := make([]byte, maxPiece)
	for sent := int64(0); ; {
		n, err := body.Read(buf[frameHeader:])
		if n > 0 {
			sent += int64(n)
			if _, err := to.Write(seal(buf[:frameHeader+n], kindData)); err != nil {
				return false, err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && sent < o.length:
			return true, io.ErrUnexpectedEOF
		case err != nil:
			return true, err
		}
	}
}
