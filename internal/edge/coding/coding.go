// Package coding compresses responses as their clients accept it.
package coding

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lateen-dev/lateen/internal/edge/problem"
)

// copyBuffer is the size in bytes of the pieces in which bodies are copied.
const copyBuffer = 32 << 10

// encoder applies a content coding to a response.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// Codings compresses responses that user code sends uncompressed. It reuses encoders,
// of 1 to 2 MiB each, and buffers.
type Codings struct {
	encoders map[string]*sync.Pool // pools of encoder, by coding
	buffers  sync.Pool             // pool of *[copyBuffer]byte
}

// New returns codings without encoders.
func New() *Codings {
	return &Codings{
		encoders: map[string]*sync.Pool{
			"br":   {New: func() any { return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: 4, LGWin: 18}) }},
			"gzip": {New: func() any { w, _ := gzip.NewWriterLevel(nil, 5); return w }}, // 5 is a level
			"zstd": {New: newZstd},
		},
		buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }},
	}
}

func newZstd() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil { // only an invalid option fails
		return nil
	}
	return w
}

// Writer is the response that [Codings.Copy] writes.
type Writer interface {
	io.Writer
	Flush()
}

// Copy sends body to w in a coding; "" is no coding. If live, it flushes after each
// read. If body ends with an error, Copy leaves the coded stream unfinished, so that
// the client sees a truncated response.
func (c *Codings) Copy(w Writer, body io.Reader, coding string, live bool) error {
	if coding == "" {
		return c.transfer(w, w.Flush, body, live)
	}
	pool := c.encoders[coding]
	enc := pool.Get().(encoder) //nolint:errcheck // nothing else is in the pool
	enc.Reset(w)
	defer func() { enc.Reset(nil); pool.Put(enc) }()
	var failed error
	flush := func() {
		failed = errors.Join(failed, enc.Flush())
		w.Flush()
	}
	if err := c.transfer(enc, flush, body, live); err != nil {
		return err
	}
	return errors.Join(failed, enc.Close())
}

// transfer copies src to dst. If live, it calls flush after each read.
func (c *Codings) transfer(dst io.Writer, flush func(), src io.Reader, live bool) error {
	buf := c.buffers.Get().(*[copyBuffer]byte) //nolint:errcheck // nothing else is in the pool
	defer c.buffers.Put(buf)
	if live {
		flush() // send the header now: the body may come much later
	}
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			if live {
				flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return problem.Truncated(err)
		}
	}
}

// encodeAll returns the complete body in a coding.
func (c *Codings) encodeAll(coding string, body []byte) []byte {
	pool := c.encoders[coding]
	enc := pool.Get().(encoder) //nolint:errcheck // nothing else is in the pool
	defer func() { enc.Reset(nil); pool.Put(enc) }()
	var b bytes.Buffer
	enc.Reset(&b)
	_, _ = enc.Write(body) // a write to a buffer cannot fail
	_ = enc.Close()
	return bytes.Clone(b.Bytes())
}
