package datacache

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lateen-dev/lateen/internal/share"
)

const (
	perInstance = 16       // concurrent requests of one channel; further ones wait to be read
	perLink     = 512      // concurrent requests of a process
	maxReceived = 64 << 20 // bytes of values in receipt, which tenants divide; further ones are refused
	maxTags     = 1024     // tags of an invalidation; further ones are ignored

	// An instance may write so many bytes in a second, after a burst; further values are
	// refused. A small value counts as minCost bytes.
	writeRate  = 8 << 20
	writeBurst = 64 << 20
	minCost    = 8 << 10

	// sendTimeout bounds the time in which a peer takes a reply: no value waits in
	// memory for an instance that does not read.
	sendTimeout = 10 * time.Second
)

// Server serves channels. Use [NewServer].
type Server struct {
	cache Cache

	mu       sync.Mutex // guards received
	received *share.Shares[string]
}

// NewServer returns a server of a cache.
func NewServer(c Cache) *Server {
	return &Server{cache: c, received: share.New[string](maxReceived)}
}

// Serve serves the channel of an instance of o until it ends, and closes it. An error
// means that the instance broke the protocol.
func (s *Server) Serve(ctx context.Context, conn net.Conn, o Owner) error {
	return s.serve(ctx, &session{
		server: s, conn: conn, owner: &o, slots: make(chan struct{}, perInstance), deadline: conn.SetWriteDeadline,
		writes: rate.NewLimiter(writeRate, writeBurst),
	})
}

// ServeRemote serves a [Remote] until the connection ends, and closes it. The process
// at the other end is trusted: it names the owners.
func (s *Server) ServeRemote(ctx context.Context, conn io.ReadWriteCloser) error {
	return s.serve(ctx, &session{
		server: s, conn: conn, slots: make(chan struct{}, perLink), deadline: func(time.Time) error { return nil },
		writes: rate.NewLimiter(rate.Inf, 0), // the other process has one for each instance
	})
}

// session is a channel that is being served.
type session struct {
	server   *Server
	conn     io.ReadWriteCloser
	owner    *Owner // nil: requests name theirs
	slots    chan struct{}
	deadline func(time.Time) error
	writes   *rate.Limiter

	writing sync.Mutex // serializes replies
}

func (s *Server) serve(ctx context.Context, c *session) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var once sync.Once
	end := func() { once.Do(func() { _ = c.conn.Close() }) } // it fails only if the peer has gone
	defer end()
	defer context.AfterFunc(ctx, end)()
	for {
		var r request
		size, err := readHead(c.conn, &r)
		if err != nil {
			if errors.Is(err, errProtocol) {
				return err
			}
			return nil // the peer has gone
		}
		if c.owner != nil {
			r.Owner = c.owner
		} else if r.Owner == nil {
			return errProtocol
		}
		body, ok, err := c.receive(&r, size)
		if err != nil {
			return nil
		}
		if r.Op == opInvalidate && c.owner != nil {
			c.handle(ctx, end, &r, nil, true) // requests that the instance sends later see its effect
			continue
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			c.release(&r, body)
			return nil
		}
		handlers.Go(func() {
			defer func() { <-c.slots }()
			defer c.release(&r, body)
			c.handle(ctx, end, &r, body, ok)
		})
	}
}

// receive reads the body of a request. ok is false if it must not be stored; its bytes
// have been dropped then.
func (c *session) receive(r *request, size int64) (body []byte, ok bool, err error) {
	if r.Op == opPut && r.storable() && c.writes.AllowN(time.Now(), int(max(size, minCost))) && c.server.take(r.Owner, size) {
		body = make([]byte, size)
		if _, err = io.ReadFull(c.conn, body); err != nil {
			c.release(r, body)
			return nil, false, err
		}
		return body, true, nil
	}
	_, err = io.CopyN(io.Discard, c.conn, size)
	return nil, r.Op != opPut, err
}

func (s *Server) take(o *Owner, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received.Take(n, string(o.Project))
}

func (c *session) release(r *request, body []byte) {
	if len(body) == 0 {
		return
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.received.Give(int64(len(body)), string(r.Owner.Project))
}

// handle answers a request. A reply that cannot be sent ends the channel.
func (c *session) handle(ctx context.Context, end func(), r *request, body []byte, ok bool) {
	answer, v := c.server.answer(ctx, r, body, ok)
	if v.Body != nil {
		defer v.Body.Close()
	}
	answer.ID = r.ID
	if err := c.send(&answer, &v); err != nil {
		end()
	}
}

// answer carries a request out.
func (s *Server) answer(ctx context.Context, r *request, body []byte, ok bool) (reply, Value) {
	switch r.Op {
	case opGet:
		v, err := s.cache.Get(ctx, *r.Owner, r.Key, r.Tags)
		if err != nil {
			return reply{Status: statusUnavailable}, Value{}
		}
		return reply{Status: string(v.State), Now: v.Now, Meta: v.Meta}, v
	case opPut:
		usable, lasts := r.usable()
		if !ok || !lasts {
			return reply{Status: statusRefused}, Value{}
		}
		stored, err := s.cache.Put(ctx, *r.Owner, r.Key, Item{Body: body, Meta: r.Meta, Tags: r.Tags, Started: r.Born, Usable: usable})
		return reply{Status: statusOf(stored, err)}, Value{}
	case opInvalidate:
		err := s.cache.Invalidate(ctx, *r.Owner, r.Tags[:min(len(r.Tags), maxTags)], r.grace())
		return reply{Status: statusOf(true, err)}, Value{}
	}
	return reply{Status: statusRefused}, Value{}
}

func statusOf(done bool, err error) string {
	switch {
	case err != nil:
		return statusUnavailable
	case !done:
		return statusRefused
	}
	return statusDone
}

// send sends a reply with its value. After an error the channel carries a part of it
// and is unusable: no reader takes a part for the whole.
func (c *session) send(r *reply, v *Value) error {
	head, err := encodeHead(r, v.Size)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.deadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(head); err != nil || v.Body == nil {
		return err
	}
	_, err = io.CopyN(c.conn, v.Body, v.Size)
	return err
}
