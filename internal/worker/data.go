package worker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/lateen-dev/lateen/internal/pause"
)

// serveData serves the data cache of the worker's functions until ctx ends.
func (c *Client) serveData(ctx context.Context) {
	for retry := retryMin; ctx.Err() == nil; retry = min(2*retry, retryMax) {
		conn, err := c.openData(ctx)
		if err == nil {
			retry = retryMin
			if err = c.o.Data.ServeRemote(ctx, conn); err != nil {
				c.o.Log.ErrorContext(ctx, "the data cache of the worker's functions failed", "err", err)
			}
		}
		pause.For(ctx, retry)
	}
}

// openData opens a channel by which the worker sends requests.
func (c *Client) openData(ctx context.Context) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	req, err := newRequest(ctx, pathData, r)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := c.roundTrip(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		err = ErrUnreachable
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientStream{resp.Body, w, cancel}, nil
}

// clientStream is the client's end of a channel.
type clientStream struct {
	io.Reader
	*io.PipeWriter

	cancel context.CancelFunc
}

// Close ends the stream.
func (s *clientStream) Close() error {
	s.cancel()
	return s.PipeWriter.Close()
}

// data gives the stream of a client to the functions.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w).Flush
	if err := flush(); err != nil {
		return // the client has gone
	}
	s.o.Data.Attach(&serverStream{Reader: r.Body, body: r.Body, w: w, flush: flush})
}

// serverStream is the server's end of a channel. The response must not be written after
// its handler, so that Close waits for the last write.
type serverStream struct {
	io.Reader

	body io.Closer

	mu    sync.Mutex // guards the fields below
	w     io.Writer  // nil after Close
	flush func() error
}

// Write sends p at once.
func (s *serverStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := s.w.Write(p)
	return n, errors.Join(err, s.flush())
}

// Close ends the reads and the writes.
func (s *serverStream) Close() error {
	err := s.body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
	return err
}
