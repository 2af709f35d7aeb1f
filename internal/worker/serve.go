package worker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/lateen-dev/lateen"
)

// invoke serves an invocation.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	in := &frames{r: r.Body}
	k, payload, err := in.next()
	if err != nil || k != kindHead {
		http.Error(w, errFrame.Error(), http.StatusBadRequest)
		return
	}
	c, err := decodeCall(payload)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancelCause(lateen.WithRequestID(r.Context(), c.request))
	defer cancel(nil)
	if c.client != "" {
		ctx = lateen.WithClient(ctx, c.client)
	}
	out := &sender{w: w, flush: http.NewResponseController(w).Flush, buffers: &s.buffers}
	defer out.close()
	req, inv := c.newRequest(ctx), c.inv
	inv.Start = "" // set when an instance gets the request
	if err := s.begin(c.id, cancel); err != nil {
		out.end(&ending{err: err, inv: inv})
		return
	}
	defer s.ended(c.id)
	if c.body {
		req.Body = &received{frames: in, begin: out.begin, trailer: req.Trailer}
	}
	resp, err := s.o.Backend.Invoke(ctx, c.spec, req, &inv)
	if err != nil {
		out.end(&ending{err: stopped(err, &inv), inv: inv})
		return
	}
	s.respond(out, r.Body, in, resp, &inv)
}

// respond sends a response, and its record after its end. in are the frames of the
// client's stream from.
func (s *Server) respond(out *sender, from io.Closer, in *frames, resp *http.Response, inv *lateen.Invocation) {
	defer resp.Body.Close() // again, if sending panics
	err := out.head(&answer{resp.StatusCode, resp.Header, resp.ContentLength, *inv})
	if err == nil {
		if to, ok := resp.Body.(io.Writer); ok && resp.StatusCode == http.StatusSwitchingProtocols {
			var receiving sync.WaitGroup
			receiving.Go(func() { _, _ = io.Copy(to, &received{frames: in, begin: out.begin}) })
			defer receiving.Wait()
			defer from.Close() // ends receiving
		}
		err = out.body(resp.Body)
	}
	_ = resp.Body.Close() // completes the record
	out.end(&ending{trailer: resp.Trailer, err: stopped(err, inv), inv: *inv})
}

// received is the body of a request, as frames of the client. Its first read asks the
// client for the body.
type received struct {
	frames  *frames
	begin   func() error
	trailer http.Header // announced fields; Read sets the values at the end
	once    sync.Once
	err     error // result of all further reads
}

// Read implements [io.Reader].
func (b *received) Read(p []byte) (int, error) {
	b.once.Do(func() { b.err = b.begin() })
	for b.err == nil && b.frames.left == 0 {
		b.err = b.next()
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.frames.data(p)
	b.err = err
	return n, err
}

// next reads the header of the next frame; the error is [io.EOF] at the end of the
// body.
func (b *received) next() error {
	k, payload, err := b.frames.next()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil || k == kindData:
		return err
	case k != kindEnd:
		return errFrame
	}
	end, err := decodeEnding(payload)
	if err != nil {
		return err
	}
	for name := range b.trailer {
		b.trailer[name] = end.trailer[name]
	}
	if end.err != nil {
		return end.err
	}
	return io.EOF
}

// Close does nothing: the body ends with its stream.
func (b *received) Close() error { return nil }

// sender writes the frames of the worker. The reader of the request's body may use it
// after the invocation, when it sends nothing.
type sender struct {
	flush   func() error
	buffers *sync.Pool

	mu    sync.Mutex // guards the fields below
	w     io.Writer
	ended bool
}

// send writes a frame, at once.
func (s *sender) send(frame []byte, flush bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return http.ErrBodyReadAfterClose
	}
	if _, err := s.w.Write(frame); err != nil || !flush {
		return err
	}
	return s.flush()
}

func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// begin asks for the body of the request.
func (s *sender) begin() error { return s.send(seal(make([]byte, frameHeader), kindBegin), true) }

func (s *sender) head(a *answer) error {
	frame, err := a.encode()
	if err != nil {
		return err
	}
	return s.send(frame, true)
}

// end sends the last frame, which the end of the handler flushes.
func (s *sender) end(m *ending) {
	if frame, err := m.encode(); err == nil {
		_ = s.send(frame, false) // the client has gone
	}
}

// body sends a body, each piece as soon as it arrives. The error is that of the body,
// or of the connection.
func (s *sender) body(r io.Reader) error {
	buf, ok := s.buffers.Get().(*[frameHeader + maxData]byte)
	if !ok { // the pool is empty
		buf = new([frameHeader + maxData]byte)
	}
	defer s.buffers.Put(buf)
	for {
		n, err := r.Read(buf[frameHeader:])
		if n > 0 {
			if err := s.send(seal(buf[:frameHeader+n], kindData), true); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
