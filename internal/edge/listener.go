package edge

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// callers counts the open connections of each client, so that one alone cannot
// take them all. One IPv6 network of 64 bits is one client.
type callers struct {
	most int
	free func(ip netip.Addr) bool // who may have any number

	mu   sync.Mutex // guards below
	open map[netip.Addr]int
}

// enter counts a connection from addr and returns what takes it back; nil where
// its client has too many.
func (c *callers) enter(addr net.Addr) (leave func()) {
	from, ok := addr.(*net.TCPAddr)
	if !ok {
		return func() {}
	}
	ip := from.AddrPort().Addr().Unmap()
	if c.free(ip) {
		return func() {}
	}
	if ip.Is6() {
		network, _ := ip.WithZone("").Prefix(64) // which is within an address of 128 bits
		ip = network.Addr()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip] >= c.most {
		return nil
	}
	c.open[ip]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[ip]--; c.open[ip] == 0 {
			delete(c.open, ip)
		}
	}
}

// listener accepts no more connections than there are slots, and not too many
// of one client.
type listener struct {
	net.Listener

	slots   chan struct{}
	callers *callers
	log     *slog.Logger
	full    bool // and said so
	once    sync.Once
	closed  chan struct{}
}

func newListener(l net.Listener, slots chan struct{}, c *callers, log *slog.Logger) *listener {
	if d, ok := l.(deadliner); ok {
		_ = d.SetDeadline(time.Time{}) // of one before; where that fails, so does Accept
	}
	return &listener{Listener: l, slots: slots, callers: c, log: log, closed: make(chan struct{})}
}

// Accept waits for a slot and a connection. While none is free the kernel's
// backlog holds those who call, and refuses them when it is full.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
		l.full = false
	default:
		if !l.full {
			l.full = true
			l.log.Warn("the limit of open connections is reached")
		}
		select {
		case l.slots <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	c, leave, err := l.accept()
	if err != nil {
		<-l.slots
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

// accept waits for a connection of a client that has not too many.
func (l *listener) accept() (c net.Conn, leave func(), err error) {
	for {
		if c, err = l.Listener.Accept(); err != nil {
			return nil, nil, err
		}
		if leave = l.callers.enter(c.RemoteAddr()); leave != nil {
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
