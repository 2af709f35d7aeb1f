package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// kind is the kind of a frame. A frame is its kind in one byte, the length of its
// payload in four bytes, big endian, and the payload.
type kind byte

const (
	kindHead  kind = 1 // the request or the response, without its body
	kindData  kind = 2 // a piece of a body
	kindEnd   kind = 3 // the end of a body, or of an invocation without a response
	kindBegin kind = 4 // from the worker: an instance reads the request's body now
)

const (
	frameHeader = 5        // bytes before the payload
	maxData     = 32 << 10 // bytes of a piece of a response's body
	maxPiece    = 16 << 10 // bytes of a frame of a request's body, of which the transport reads as many at once
	maxMessage  = 64 << 20 // bytes of any other payload
)

var errFrame = errors.New("the frame is malformed")

// seal writes the header of a frame into the first bytes of b, whose rest is the
// payload.
func seal(b []byte, k kind) []byte {
	b[0] = byte(k)
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-frameHeader)) //nolint:gosec // bounded by maxMessage
	return b
}

// frames reads frames from r.
type frames struct {
	r    io.Reader
	left int // unread bytes of the current data frame
	head [frameHeader]byte
}

// next reads the header of the next frame, and the payload unless the frame is a
// piece of a body, which [frames.data] reads. The previous piece must have been read.
func (f *frames) next() (kind, []byte, error) {
	if _, err := io.ReadFull(f.r, f.head[:]); err != nil {
		return 0, nil, err
	}
	k, n := kind(f.head[0]), int(binary.BigEndian.Uint32(f.head[1:]))
	if k == kindData {
		f.left = n
		return k, nil, nil
	}
	if n > maxMessage {
		return 0, nil, errFrame
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(f.r, payload)
	return k, payload, err
}

// data reads from the current piece of a body. It returns 0 bytes only with an error.
func (f *frames) data(p []byte) (int, error) {
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	if n > 0 {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// encoder writes the payload of a message. Texts are bytes: header fields need not
// be UTF-8.
type encoder struct{ b []byte }

func newEncoder() *encoder { return &encoder{make([]byte, frameHeader, 1024)} }

func (e *encoder) number(n int64) { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	e.number(int64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) flag(v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	e.number(n)
}

func (e *encoder) header(h http.Header) {
	e.number(int64(len(h)))
	for name, values := range h {
		e.text(name)
		e.number(int64(len(values)))
		for _, value := range values {
			e.text(value)
		}
	}
}

func (e *encoder) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	e.text(string(b))
	return nil
}

// frame returns the message as a frame.
func (e *encoder) frame(k kind) []byte { return seal(e.b, k) }

// decoder reads the payload of a message. The first error is in err; all values
// after it are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) number() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errFrame)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the number of elements of a list, each of which takes at least a byte.
func (d *decoder) count() int {
	n := d.number()
	if n < 0 || n > int64(len(d.b)) {
		d.fail(errFrame)
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count()
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) flag() bool { return d.number() == 1 }

func (d *decoder) header() http.Header {
	n := d.count()
	h := make(http.Header, n)
	for range n {
		name := d.text()
		values := make([]string, d.count())
		for i := range values {
			values[i] = d.text()
		}
		if d.err == nil {
			h[name] = values
		}
	}
	return h
}

func (d *decoder) json(v any) {
	b := d.bytes()
	if d.err != nil {
		return
	}
	if err := json.Unmarshal(b, v); err != nil {
		d.fail(fmt.Errorf("decode %T: %w", v, err))
	}
}

// end returns the first error; bytes after the last value are one.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return errFrame
	}
	return d.err
}
