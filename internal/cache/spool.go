package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// errLarge ends the copy of a body that is larger than the limit.
var errLarge = errors.New("the body is larger than the limit")

// spool is a body that is read while it is still being written. A small body is in
// memory, a larger one in a file.
type spool struct {
	memory int64 // bytes to hold in memory
	limit  int64 // bytes to hold in total
	create func() (*atomicfile.File, error)

	mu   sync.Mutex    // guards the fields below
	more chan struct{} // closed after a change; nil while no reader waits
	buf  []byte
	out  *atomicfile.File // the whole body, once it has left buf
	in   *os.File         // out, for reading: it stays open when out is committed
	size int64
	sum  hash.Hash
	end  error     // set after the last byte: io.EOF, or the error that cut the body off
	rest io.Reader // remainder of a body that is too large to hold
	refs int       // users that have not released the spool: the writer and the reader
}

func newSpool(memory, limit int64, create func() (*atomicfile.File, error)) *spool {
	return &spool{memory: memory, limit: limit, create: create, sum: sha256.New(), refs: 2}
}

// fill copies r to its end. It returns nil, [errLarge] if r has more than the limit,
// or a read or write error. The spool's reader reads the part past the limit from r
// itself.
func (s *spool) fill(r io.Reader) error {
	chunk := make([]byte, 32<<10)
	for {
		n, err := r.Read(chunk)
		left, fail := s.add(chunk[:n])
		switch {
		case fail != nil:
			s.finish(nil, io.MultiReader(bytes.NewReader(left), &endedReader{r, err}))
			return fail
		case err == io.EOF:
			s.finish(err, nil)
			return nil
		case err != nil:
			s.finish(err, nil)
			return err
		}
	}
}

// endedReader is a reader that may have ended already.
type endedReader struct {
	io.Reader

	err error
}

func (t *endedReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	return t.Reader.Read(p)
}

// finish gives the reader the remainder of the body, or its end with err.
func (s *spool) finish(err error, rest io.Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end, s.rest = err, rest
	s.wakeLocked()
}

// add appends p. If that fails or exceeds the limit, it returns the bytes that were
// not appended.
func (s *spool) add(p []byte) (left []byte, err error) {
	if len(p) == 0 {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wakeLocked()
	if s.size+int64(len(p)) > s.limit {
		return p, errLarge
	}
	if s.out != nil {
		n, err := s.out.Write(p)
		s.sum.Write(p[:n])
		s.size += int64(n)
		return p[n:], err
	}
	s.sum.Write(p)
	s.size += int64(len(p))
	s.buf = append(s.buf, p...)
	if s.size <= s.memory {
		return nil, nil
	}
	return nil, s.spillLocked()
}

// spillLocked moves the body to a file.
func (s *spool) spillLocked() error {
	out, err := s.create()
	if err != nil {
		return err
	}
	in, err := os.Open(out.Name())
	if err == nil {
		_, err = out.Write(s.buf)
	}
	if err != nil {
		if in != nil {
			in.Close()
		}
		out.Discard()
		return err
	}
	s.out, s.in, s.buf = out, in, nil
	return nil
}

func (s *spool) wakeLocked() {
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}

// release ends one user's use. The last release closes the file.
func (s *spool) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	if s.out != nil {
		s.out.Discard() // no effect on a committed file
		s.in.Close()
	}
}

// read reads at off, and waits for bytes that have not arrived.
func (s *spool) read(ctx context.Context, p []byte, off int64) (int, error) {
	for {
		s.mu.Lock()
		if n, err := s.readLocked(p, off); n > 0 || err != nil {
			s.mu.Unlock()
			return n, err
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more, rest := s.more, s.rest
		s.mu.Unlock()
		if rest != nil {
			return rest.Read(p)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// readLocked reads the bytes that have arrived, which may be none.
func (s *spool) readLocked(p []byte, off int64) (int, error) {
	switch {
	case off < s.size && s.out == nil:
		return copy(p, s.buf[off:]), nil
	case off < s.size:
		return s.in.ReadAt(p[:min(int64(len(p)), s.size-off)], off)
	default:
		return 0, s.end
	}
}

// follower reads the body of a spool as it arrives.
type follower struct {
	ctx   context.Context //nolint:containedctx // io.Reader has no context parameter
	spool *spool
	off   int64
	close func()
}

func (f *follower) Read(p []byte) (int, error) {
	n, err := f.spool.read(f.ctx, p, f.off)
	f.off += int64(n)
	return n, err
}

func (f *follower) Close() error { f.close(); return nil }

// describe gives e the complete body, or the size and the digest of a body that is
// not in memory.
func (s *spool) describe(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.body, e.file, e.Size, e.Digest = s.buf, nil, s.size, lateen.Digest(hex.EncodeToString(s.sum.Sum(nil)))
}

// file returns the complete body as a file that has not been committed.
func (s *spool) file() (*atomicfile.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil {
		return s.out, nil
	}
	out, err := s.create()
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(s.buf); err != nil {
		out.Discard()
		return nil, err
	}
	return out, nil
}
