package server

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/share"
)

// listener accepts no more connections than there are slots, and not too many
// of one client.
type listener struct {
	net.Listener

	slots   chan struct{}
	callers *share.Callers
	shed    func() bool      // closes a connection without a request under way, if there is one
	greet   func(c net.Conn) // takes the connections of functions over; nil: Accept returns them
	log     *slog.Logger
	full    bool // and said so
	once    sync.Once
	closed  chan struct{}
}

func newListener(l net.Listener, slots chan struct{}, c *share.Callers, shed func() bool, log *slog.Logger) *listener {
	if d, ok := l.(deadliner); ok {
		_ = d.SetDeadline(time.Time{}) // of one before; where that fails, so does Accept
	}
	return &listener{Listener: l, slots: slots, callers: c, shed: shed, log: log, closed: make(chan struct{})}
}

// shedEvery is how often a connection that waits for a slot looks for one whose
// requests have ended.
const shedEvery = 100 * time.Millisecond

// Accept waits for a connection and a slot. Where no slot is free the new
// connection gets that of one that has been quiet for longest. While all have
// requests under way the kernel's backlog holds further connections, and refuses
// them when it is full.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.next()
		if err != nil || l.greet == nil || !isFunction(c.RemoteAddr()) {
			return c, err
		}
		go l.greet(c) // which ends within a time limit
	}
}

// isFunction reports whether a connection from there is one of a function.
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

// take waits for a slot, and reports false when the listener is closed first.
func (l *listener) take() bool {
	select {
	case l.slots <- struct{}{}:
		l.full = false
		return true
	default:
	}
	if !l.full {
		l.full = true
		l.log.Warn("the limit of open connections is reached: connections without a request make room")
	}
	for {
		shed := l.shed()
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		if shed {
			continue // another listener took the slot
		}
		select {
		case l.slots <- struct{}{}:
			return true
		case <-l.closed:
			return false
		case <-time.After(shedEvery):
		}
	}
}

// accept waits for a connection of a client that has not too many.
func (l *listener) accept() (c net.Conn, leave func(), err error) {
	for {
		if c, err = l.Listener.Accept(); err != nil {
			return nil, nil, err
		}
		if leave = l.callers.Enter(c.RemoteAddr()); leave != nil {
			return c, leave, nil
		}
		l.log.Debug("a client has too many connections", "client", c.RemoteAddr().String())
		_ = c.Close() // its client sees that
	}
}

// Close ends Accept. The socket stays open, where that can be done, for another
// listener on it.
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

// tcpConn gives its slot back when it closes. It embeds the connection so that
// files still reach it by sendfile(2).
type tcpConn struct {
	*net.TCPConn

	release func()
}

// Close closes the connection.
func (c *tcpConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

// otherConn is the same for what is not TCP.
type otherConn struct {
	net.Conn

	release func()
}

// Close closes the connection.
func (c *otherConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
