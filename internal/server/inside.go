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

// inside accepts the connections from [Server.Dial], and those of functions after the
// detection of TLS.
type inside struct {
	conns  chan net.Conn // channel of the server, which all generations share
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

// Addr implements [net.Listener] with an address of [address.Functions].
func (l *inside) Addr() net.Addr { return functions() }

// functions returns an address of [address.Functions].
func functions() net.Addr {
	return &net.TCPAddr{IP: address.Functions.Addr().Next().AsSlice()}
}

// Dial connects to the server through memory. The connection has a peer address of
// [address.Functions], which is never trusted.
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

var errEnding = errors.New("the server is shutting down")

// pipe is the server's end of a connection of [Server.Dial].
type pipe struct{ net.Conn }

// RemoteAddr implements [net.Conn] with an address of [address.Functions].
func (*pipe) RemoteAddr() net.Addr { return functions() }

// LocalAddr implements [net.Conn]; no code uses its value.
func (*pipe) LocalAddr() net.Addr { return functions() }

// detectTLS reads the first byte of a function's connection to detect TLS, and passes the
// connection to the listener inside. Frameworks call their own site by https even if
// its clients use http.
func (s *Server) detectTLS(c net.Conn, secure *tls.Config) {
	first := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(s.o.HeaderTimeout)) // after an error, the read fails
	if _, err := c.Read(first); err != nil {
		_ = c.Close() // closed even after an error
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // after an error, the next read fails
	var conn net.Conn = &prefixedConn{Conn: c, first: first}
	if first[0] == handshake {
		conn = tls.Server(conn, secure)
	}
	select {
	case s.inside <- conn:
	case <-s.draining:
		_ = c.Close()
	}
}

// handshake is the first byte of a TLS connection (RFC 8446 §5.1).
const handshake = 22

// prefixedConn is a connection whose first bytes have been read.
type prefixedConn struct {
	net.Conn

	first []byte
}

// Read implements [net.Conn].
func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
