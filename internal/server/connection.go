package server

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Connection is what is known of a client's connection. Requests have it in
// their context.
type Connection struct {
	begun atomic.Int64 // requests
	busy  atomic.Int64 // requests under way
	quiet atomic.Int64 // Unix nanoseconds: accepted, or last without a request under way
	asked atomic.Bool  // for a deployment
	tells atomic.Bool  // a request that it is refused
	sends atomic.Bool  // the last response may be on its way behind its handler, for a second at most
	from  net.Addr

	inside bool        // see Inside
	shed   func() bool // see [generation.shed]
}

type connectionKey struct{}

// ConnectionOf returns the connection of a request; nil where it has none, of which
// the methods do nothing.
func ConnectionOf(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}

// Inside reports whether the connection is one of [Server.Dial].
func (c *Connection) Inside() bool { return c != nil && c.inside }

// Enter notes that a request is under way, until Leave.
func (c *Connection) Enter() {
	if c != nil {
		c.begun.Add(1)
		c.busy.Add(1)
	}
}

// Leave notes the end of a request: whether its client has the response, and
// whether that told it that the request is refused.
func (c *Connection) Leave(sent, refused bool) {
	if c != nil {
		if refused {
			c.tells.Store(false)
		}
		c.quiet.Store(time.Now().UnixNano())
		c.sends.Store(!sent)
		c.busy.Add(-1)
	}
}

// Admit takes a place for a request of c, to be left in any case: the connection has
// one, and each request beside others counts as another. It may want a file, or a
// connection to an origin, as they do. A connection of [Server.Dial] has none: its
// request is one more of client, which it is passed on for.
func (s *Server) Admit(c *Connection, client netip.Addr) (leave func(), ok bool) {
	if c == nil || !c.inside && c.busy.Load() == 1 {
		return func() {}, true
	}
	from := c.from
	if c.inside {
		from = &net.TCPAddr{IP: client.AsSlice()}
	}
	counted := s.callers.Enter(from)
	if counted == nil {
		return func() {}, false
	}
	for {
		select {
		case s.slots <- struct{}{}:
			return func() { counted(); <-s.slots }, true
		default:
			if !c.shed() {
				return counted, false
			}
		}
	}
}

// Refuse reports whether a request that was not admitted is to be told so: one of a
// connection at a time is, and the response to it ends with Leave.
func (c *Connection) Refuse() bool { return c.tells.CompareAndSwap(false, true) }

// Asks notes that a request is for a deployment, and reports whether it is the first
// of its connection that is.
func (c *Connection) Asks() bool {
	return c != nil && !c.asked.Load() && c.asked.CompareAndSwap(false, true)
}
