package server

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Connection is the state of a client's connection. The context of a request has it.
type Connection struct {
	requests  atomic.Int64 // requests that have begun
	busy      atomic.Int64 // requests in progress
	idleSince atomic.Int64 // time of the accept or of the last request's end, in Unix nanoseconds
	asked     atomic.Bool  // whether a request was for a deployment
	refusing  atomic.Bool  // whether a refusal is being sent
	sending   atomic.Bool  // whether the last response may still be sent after its handler has returned, for a second at most
	from      net.Addr

	inside    bool        // see Inside
	closeIdle func() bool // see [generation.closeIdle]
}

type connectionKey struct{}

// ConnectionOf returns the connection of a request, or nil if its context has none.
// Most methods of a nil Connection do nothing.
func ConnectionOf(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}

// Inside reports whether the connection comes from [Server.Dial].
func (c *Connection) Inside() bool { return c != nil && c.inside }

// Enter notes the begin of a request, whose end Leave notes.
func (c *Connection) Enter() {
	if c != nil {
		c.requests.Add(1)
		c.busy.Add(1)
	}
}

// Leave notes the end of a request. sent reports whether the response has been sent,
// and refused whether it is one for which Refuse returned true.
func (c *Connection) Leave(sent, refused bool) {
	if c != nil {
		if refused {
			c.refusing.Store(false)
		}
		c.idleSince.Store(time.Now().UnixNano())
		c.sending.Store(!sent)
		c.busy.Add(-1)
	}
}

// Admit takes a connection slot for a request of c. The caller calls leave in any
// case. The first request uses the slot of its connection, and each concurrent one
// takes another, because it may need a file descriptor or a connection to an origin
// just like a connection. A connection from [Server.Dial] has no slot: its request
// counts as a further one of client, for which it was passed on.
func (s *Server) Admit(c *Connection, client netip.Addr) (leave func(), ok bool) {
	if c == nil || !c.inside && c.busy.Load() == 1 {
		return func() {}, true
	}
	from := c.from
	if c.inside {
		from = &net.TCPAddr{IP: client.AsSlice()}
	}
	counted := s.clients.Enter(from)
	if counted == nil {
		return func() {}, false
	}
	for {
		select {
		case s.slots <- struct{}{}:
			return func() { counted(); <-s.slots }, true
		default:
			if !c.closeIdle() {
				return counted, false
			}
		}
	}
}

// Refuse reports whether the handler should send a refusal to a request that was not
// admitted. Each connection has one refusal at a time, which ends with Leave.
func (c *Connection) Refuse() bool { return c.refusing.CompareAndSwap(false, true) }

// Asks notes a request for a deployment, and reports whether it is the first one of
// the connection.
func (c *Connection) Asks() bool {
	return c != nil && !c.asked.Load() && c.asked.CompareAndSwap(false, true)
}
