package server

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/share"
)

// listener bounds the accepted connections by the slots, and those of one client by
// clients.
type listener struct {
	net.Listener

	slots     chan struct{}
	clients   *share.Callers
	closeIdle func() bool      // closes an idle connection, if there is one
	detectTLS func(c net.Conn) // takes over connections of functions; if nil, Accept returns them
	log       *slog.Logger
	full      bool // whether the slots are used up and a message was logged
	once      sync.Once
	closed    chan struct{}
}

func newListener(l net.Listener, slots chan struct{}, c *share.Callers, closeIdle func() bool, log *slog.Logger) *listener {
	if d, ok := l.(deadliner); ok {
		_ = d.SetDeadline(time.Time{}) // remove the deadline of an earlier listener; after an error, Accept fails
	}
	return &listener{Listener: l, slots: slots, clients: c, closeIdle: closeIdle, log: log, closed: make(chan struct{})}
}

// closeIdleEvery is the interval at which a connection that waits for a slot looks for an
// idle one to close.
const closeIdleEvery = 100 * time.Millisecond

// Accept waits for a connection and a slot. If no slot is free, it closes the
// connection that has been idle longest and takes its slot. While all connections have
// requests in progress, further connections wait in the kernel's backlog, which drops
// them when it is full.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.next()
		if err != nil || l.detectTLS == nil || !isFunction(c.RemoteAddr()) {
			return c, err
		}
		go l.detectTLS(c) // it has a time limit
	}
}

// isFunction reports whether a connection with the peer address from is one of a
// function.
func isFunction(from net.Addr) bool {
	tcp, ok := from.(*net.TCPAddr)
	return ok && address.Functions.Contains(address.Canonical(tcp.AddrPort().Addr()))
}

func (l *listener) next() (net.Conn, error) {
	c, leave, err := l.accept()
	if err == nil && !l.take() {
		leave()
		_ = c.Close()
		err = net.ErrClosed
	}
	if err != nil {
		if l.isClosed() {
			err = net.ErrClosed
		}
		return nil, err
	}
	release := sync.OnceFunc(func() { leave(); <-l.slots })
	if tcp, ok := c.(*net.TCPConn); ok {
		return &tcpConn{TCPConn: tcp, release: release}, nil
	}
	return &otherConn{Conn: c, release: release}, nil
}

// take waits for a slot. It returns false if the listener is closed first.
func (l *listener) take() bool {
	select {
	case l.slots <- struct{}{}:
		l.full = false
		return true
	default:
	}
	if !l.full {
		l.full = true
		l.log.Warn("the limit of open connections is reached: closing idle connections")
	}
	for {
		freed := l.closeIdle()
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		if freed {
			continue // another listener took the slot
		}
		select {
		case l.slots <- struct{}{}:
			return true
		case <-l.closed:
			return false
		case <-time.After(closeIdleEvery):
		}
	}
}

// accept waits for a connection of a client that is below its limit, and closes those
// of clients that are not.
func (l *listener) accept() (c net.Conn, leave func(), err error) {
	for {
		if c, err = l.Listener.Accept(); err != nil {
			return nil, nil, err
		}
		if leave = l.clients.Enter(c.RemoteAddr()); leave != nil {
			return c, leave, nil
		}
		l.log.Debug("a client has too many connections", "client", c.RemoteAddr().String())
		_ = c.Close() // closed even after an error
	}
}

// Close ends Accept. The socket stays open for another listener if the listener is a
// [deadliner].
func (l *listener) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		if d, ok := l.Listener.(deadliner); ok {
			err = d.SetDeadline(time.Unix(1, 0))
			return
		}
		err = l.Listener.Close()
	})
	return err
}

// deadliner is a [net.Listener] whose Accept can be interrupted.
type deadliner interface {
	SetDeadline(at time.Time) error
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// tcpConn releases its slot when it closes. It embeds the connection so that
// sendfile(2) still works.
type tcpConn struct {
	*net.TCPConn

	release func()
}

// Close closes the connection.
func (c *tcpConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

// otherConn releases its slot when it closes, as tcpConn does, for other connections
// than TCP.
type otherConn struct {
	net.Conn

	release func()
}

// Close closes the connection.
func (c *otherConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
