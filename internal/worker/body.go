package worker

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// body is the body of a response.
type body struct {
	*invocation

	stream io.ReadCloser
	resp   *http.Response

	mu     sync.Mutex // held while frames are read; guards the fields below
	in     frames
	left   int64   // bytes until the Content-Length; negative is unknown
	ending *ending // last frame; nil before
	err    error   // result of all further reads

	once sync.Once // Close
}

// response waits for the head of the response.
func (b *body) response() (*http.Response, error) {
	for {
		k, payload, err := b.in.next()
		if err != nil {
			return nil, b.broken(err)
		}
		switch k {
		case kindBegin:
			b.out.begin()
		case kindEnd:
			end, err := decodeEnding(payload)
			if err != nil {
				return nil, lateen.ErrInternal.Because(err)
			}
			*b.inv = end.inv
			return nil, b.failed(end.err)
		case kindHead:
			return b.answer(payload)
		case kindData:
			return nil, lateen.ErrInternal.Because(errFrame)
		}
	}
}

func (b *body) answer(payload []byte) (*http.Response, error) {
	a, err := decodeAnswer(payload)
	if err != nil {
		return nil, lateen.ErrInternal.Because(err)
	}
	*b.inv = a.inv
	b.left = a.length
	b.resp = &http.Response{
		StatusCode: a.status, Status: strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))), Header: a.header,
		ContentLength: a.length, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: b,
	}
	if a.status == http.StatusSwitchingProtocols {
		b.resp.Body = b.switched()
	}
	return b.resp, nil
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readLocked(p)
}

func (b *body) readLocked(p []byte) (int, error) {
	for b.err == nil && b.in.left == 0 {
		b.err = b.nextLocked()
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.in.data(p)
	b.left -= int64(n)
	if err != nil {
		b.err = b.broken(err)
	}
	return n, b.err
}

// nextLocked reads the next frame. The error is [io.EOF] at the end of the body.
func (b *body) nextLocked() error {
	k, payload, err := b.in.next()
	if err != nil {
		return b.broken(err)
	}
	switch k {
	case kindBegin:
		b.out.begin()
		return nil
	case kindData:
		return nil
	case kindHead, kindEnd:
	}
	if k != kindEnd {
		return lateen.ErrInternal.Because(errFrame)
	}
	end, err := decodeEnding(payload)
	if err != nil {
		return lateen.ErrInternal.Because(err)
	}
	b.ending = end
	if len(end.trailer) > 0 {
		b.resp.Trailer = end.trailer
	}
	if end.err != nil {
		return b.failed(end.err)
	}
	return io.EOF
}

// Close ends the invocation, and cancels it unless the whole body was read. When it
// returns, the record is complete.
func (b *body) Close() error {
	b.once.Do(func() {
		overdue := time.AfterFunc(endTimeout, b.sever)
		defer overdue.Stop()
		if !b.mu.TryLock() { // a read is in progress
			b.interrupt()
			b.mu.Lock()
		}
		defer b.mu.Unlock()
		if b.ending == nil && b.err == nil && b.left != 0 && b.resp.Request.Method != http.MethodHead {
			b.interrupt()
		}
		for buf := make([]byte, 4<<10); b.err == nil; {
			_, _ = b.readLocked(buf) // up to the last frame
		}
		if b.ending != nil {
			*b.inv = b.ending.inv
			b.out.end()
			_, _ = b.stream.Read(make([]byte, 1)) // the end of the stream, which resets it otherwise
		}
		b.finish()
		_ = b.stream.Close() // after finish, which ends the request's part of the stream
	})
	return nil
}

// interrupt cancels the invocation and does not wait for its end.
func (b *body) interrupt() { go b.cancel() } // ends with the stream, or after endTimeout

// switched is the body of a response that switches protocols.
type switched struct {
	*body

	w *io.PipeWriter
}

// switched returns the connection of a response that switches protocols: from now on
// the stream to the worker carries the bytes that are written.
func (b *body) switched() *switched {
	r, w := io.Pipe()
	b.left = -1
	b.out.switchTo(r)
	return &switched{b, w}
}

// Write sends data to the function.
func (s *switched) Write(p []byte) (int, error) { return s.w.Write(p) }

// Close ends the connection.
func (s *switched) Close() error {
	_ = s.w.Close() // never fails
	return s.body.Close()
}
