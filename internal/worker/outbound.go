package worker

import (
	"bytes"
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

// stream returns the bytes for a stream. The transport asks for another stream if the
// worker refused the first one unread; it has not asked for the body then.
func (o *outbound) stream() io.ReadCloser {
	return &stream{outbound: o, rest: o.head, closed: make(chan struct{})}
}

// stream is the request's part of a stream to the worker, as the transport reads it.
type stream struct {
	outbound *outbound
	rest     []byte // bytes of frames that were not read yet
	last     bool   // no frame follows rest
	read     int64  // bytes of the body so far
	once     sync.Once
	closed   chan struct{}
}

// Read implements [io.Reader]. It may return nothing.
func (s *stream) Read(p []byte) (int, error) {
	s.outbound.use()
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if s.last || !s.outbound.waits {
		return 0, io.EOF
	}
	select {
	case <-s.outbound.begun:
	case <-s.outbound.ended:
		return 0, io.EOF
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
	into := p[:min(len(p), frameHeader+maxData)]
	if len(into) <= frameHeader {
		into = make([]byte, frameHeader+1)
	}
	n, err := s.outbound.take().Read(into[frameHeader:])
	copied := 0
	if n > 0 {
		frame := seal(into[:frameHeader+n], kindData)
		copied = copy(p, frame)
		s.rest = bytes.Clone(frame[copied:])
		s.read += int64(n)
	}
	if errors.Is(err, io.EOF) && s.read < s.outbound.length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return copied, s.end(err)
	}
	return copied, nil
}

// end appends the last frame, for the result of reading the body.
func (s *stream) end(err error) error {
	s.last = true
	m := &ending{trailer: s.outbound.trailer}
	if !errors.Is(err, io.EOF) {
		s.outbound.fail(err)
		m.err = err
	}
	frame, err := m.encode()
	s.rest = append(s.rest, frame...)
	return err
}

// Close implements [io.Closer]: the transport reads no more.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
