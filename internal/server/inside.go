package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
)

// inside accepts the connections of [Server.Dial], and those of functions once it is
// known whether they are over TLS.
type inside struct {
	conns  chan net.Conn // of the server: generations take turns
	closed chan struct{}
	once   sync.Once
}

// Accept implements [net.Listener].
func (l *inside) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *inside) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is where connections of functions lead.
func (l *inside) Addr() net.Addr { return functions() }

// functions is an address from which functions come.
func functions() net.Addr {
	return &net.TCPAddr{IP: address.Functions.Addr().Next().AsSlice()}
}

// Dial connects to the server without a network. The connection is seen to come from
// [address.Functions], an address that gives no trust.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case s.inside <- &pipe{far}:
		return near, nil
	case <-s.draining:
		return nil, errEnding
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

var errEnding = errors.New("the server ends")

// pipe is the server's end of a connection of [Server.Dial].
type pipe struct{ net.Conn }

// RemoteAddr is an address of functions.
func (*pipe) RemoteAddr() net.Addr { return functions() }

// LocalAddr is as good as any.
func (*pipe) LocalAddr() net.Addr { return functions() }

// greet hands a function's connection on once its first byte tells whether it is over
// TLS: frameworks call their own site by https, however clients reach that.
func (s *Server) greet(c net.Conn, secure *tls.Config) {
	first := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(s.o.HeaderTimeout)) // else the read fails
	if _, err := c.Read(first); err != nil {
		_ = c.Close() // its client sees that
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // else the next read fails
	var greeted net.Conn = &begun{Conn: c, first: first}
	if first[0] == handshake {
		greeted = tls.Server(greeted, secure)
	}
	select {
	case s.inside <- greeted:
	case <-s.draining:
		_ = c.Close()
	}
}

// handshake is the first byte of a connection over TLS (RFC 8446 §5.1).
const handshake = 22

// begun is a connection whose first bytes were read.
type begun struct {
	net.Conn

	first []byte
}

// Read reads on.
func (c *begun) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
