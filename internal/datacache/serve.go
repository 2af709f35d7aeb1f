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
	perInstance = 16        // concurrent requests of one channel; further ones wait to be read
	perLink     = 512       // concurrent requests of a process, which tenants divide; further ones fail
	maxReceived = 64 << 20  // bytes of values in receipt, which tenants divide; further ones are refused
	maxSent     = 128 << 20 // bytes of values being sent to instances, which tenants divide
	maxTags     = 1024      // tags of an invalidation; further ones are ignored. A read with more is refused

	// An instance may write so many bytes in a second, after a burst; further values are
	// refused, and further invalidations wait. A small value counts as minCost bytes, and
	// so do costTags tags of an invalidation.
	writeRate  = 8 << 20
	writeBurst = 64 << 20
	minCost    = 8 << 10
	costTags   = 16

	// frameTimeout bounds the time in which an instance sends the rest of a frame, and
	// that in which it takes a reply: an instance that stalls holds no memory.
	frameTimeout = 10 * time.Second
)

// Peer is an instance of a deployment. It may have channels one after the other. Use
// [NewPeer].
type Peer struct {
	owner  Owner
	writes *rate.Limiter
}

// NewPeer returns an instance of the deployment o.
func NewPeer(o Owner) *Peer { return &Peer{owner: o, writes: rate.NewLimiter(writeRate, writeBurst)} }

// Server serves channels. Use [NewServer].
type Server struct {
	cache Cache

	mu             sync.Mutex // guards the fields below
	received, sent *share.Shares[string]
}

// NewServer returns a server of a cache.
func NewServer(c Cache) *Server {
	return &Server{cache: c, received: share.New[string](maxReceived), sent: share.New[string](maxSent)}
}

// Serve serves a channel of an instance until it ends, and closes it. An error means that
// the instance broke the protocol.
func (s *Server) Serve(ctx context.Context, conn net.Conn, p *Peer) error {
	return s.serve(ctx, &session{
		server: s, conn: conn, peer: p, slots: make(chan struct{}, perInstance), readBy: conn.SetReadDeadline, writeBy: conn.SetWriteDeadline,
	})
}

// ServeRemote serves a [Remote] until the connection ends, and closes it. The process
// at the other end is trusted: it names the owners.
func (s *Server) ServeRemote(ctx context.Context, conn io.ReadWriteCloser) error {
	unlimited := func(time.Time) error { return nil }
	return s.serve(ctx, &session{server: s, conn: conn, slots: make(chan struct{}, perLink), places: share.New[string](perLink), readBy: unlimited, writeBy: unlimited})
}

// session is a channel that is being served.
type session struct {
	server          *Server
	conn            io.ReadWriteCloser
	peer            *Peer // nil for a process, whose requests name their owners
	slots           chan struct{}
	readBy, writeBy func(time.Time) error

	places *share.Shares[string] // the slots that the tenants of a process hold, guarded by Server.mu; nil for an instance

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
		size, err := c.next(&r)
		if err != nil {
			if errors.Is(err, errProtocol) {
				return err
			}
			return nil // the peer has gone
		}
		if c.peer != nil {
			r.Owner = &c.peer.owner
		} else if r.Owner == nil {
			return errProtocol
		}
		body, ok, err := c.receive(&r, size)
		if err != nil {
			return nil
		}
		if r.Op == opInvalidate && c.peer != nil {
			r.Tags = limited(r.Tags, maxTags)
			if c.peer.writes.WaitN(ctx, minCost*(1+elements(r.Tags)/costTags)) != nil {
				return nil
			}
			c.handle(ctx, end, &r, nil, true) // requests that the instance sends later see its effect
			continue
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			c.release(&r, body)
			return nil
		}
		if !c.enter(&r) {
			<-c.slots
			c.release(&r, body)
			if c.send(&reply{ID: r.ID, Status: statusUnavailable}, &Value{}) != nil {
				return nil
			}
			continue
		}
		handlers.Go(func() {
			defer func() { <-c.slots }()
			defer c.leave(&r)
			defer c.release(&r, body)
			c.handle(ctx, end, &r, body, ok)
		})
	}
}

// next waits for a frame and reads its head. The rest of the frame is due within
// [frameTimeout].
func (c *session) next(r *request) (size int64, err error) {
	if err := c.readBy(time.Time{}); err != nil {
		return 0, err
	}
	n, size, err := readLengths(c.conn)
	if err != nil {
		return 0, err
	}
	if err := c.readBy(time.Now().Add(frameTimeout)); err != nil {
		return 0, err
	}
	return size, decodeHead(c.conn, n, r)
}

// receive reads the body of a request. ok is false if it must not be stored; its bytes
// have been dropped then.
func (c *session) receive(r *request, size int64) (body []byte, ok bool, err error) {
	if r.Op == opPut && r.storable() && c.allows(size) && c.server.take(c.server.received, r.Owner, size) {
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

// allows reports whether a value of size bytes is within the rate of the instance. The
// process at the other end of a link has asked for its instances.
func (c *session) allows(size int64) bool {
	return c.peer == nil || c.peer.writes.AllowN(time.Now(), int(max(size, minCost)))
}

// enter takes a place of a process for the tenant of a request, so that the slow
// requests of one do not delay those of others.
func (c *session) enter(r *request) bool {
	return c.places == nil || c.server.take(c.places, r.Owner, 1)
}

func (c *session) leave(r *request) {
	if c.places != nil {
		c.server.give(c.places, r.Owner, 1)
	}
}

func (s *Server) take(from *share.Shares[string], o *Owner, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return from.Take(n, string(o.Project))
}

func (s *Server) give(to *share.Shares[string], o *Owner, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Give(n, string(o.Project))
}

func (c *session) release(r *request, body []byte) {
	c.server.give(c.server.received, r.Owner, int64(len(body)))
}

// handle answers a request. A reply that cannot be sent ends the channel.
func (c *session) handle(ctx context.Context, end func(), r *request, body []byte, ok bool) {
	answer, v := c.server.answer(ctx, r, body, ok)
	if v.Body != nil {
		defer v.Body.Close()
	}
	if c.peer != nil && v.Size > 0 {
		if !c.server.take(c.server.sent, r.Owner, v.Size) {
			answer, v = reply{Status: statusUnavailable}, Value{}
		}
		defer c.server.give(c.server.sent, r.Owner, v.Size)
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
		if elements(r.Tags) > maxTags {
			return reply{Status: statusRefused}, Value{}
		}
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
		stored, err := s.cache.Put(ctx, *r.Owner, r.Key, Item{Body: body, Meta: r.Meta, Tags: r.Tags, Started: r.Started, Usable: usable})
		return reply{Status: statusOf(stored, err)}, Value{}
	case opInvalidate:
		err := s.cache.Invalidate(ctx, *r.Owner, Invalidation{Tags: r.Tags, Grace: r.grace(), ID: r.Name})
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
	if err := c.writeBy(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(head); err != nil || v.Body == nil {
		return err
	}
	_, err = io.CopyN(c.conn, v.Body, v.Size)
	return err
}
