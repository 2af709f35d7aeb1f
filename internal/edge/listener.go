package edge

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// server is the HTTP server of all listeners. It sets no deadline on a whole
// request or response: those follow progress, see [writer] and [upload].
func (e *Edge) server() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           e,
		Protocols:         &protocols,
		TLSConfig:         e.greeting(e.o.TLS),
		ConnContext:       newConnection,
		ReadHeaderTimeout: e.o.HeaderTimeout,
		IdleTimeout:       e.o.IdleTimeout,
		MaxHeaderBytes:    e.o.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(e.o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     e.o.StallTimeout,
		},
	}
}

// listener accepts no more connections than there are slots.
type listener struct {
	net.Listener

	slots  chan struct{}
	log    *slog.Logger
	full   bool // and said so
	once   sync.Once
	closed chan struct{}
}

func newListener(l net.Listener, slots chan struct{}, log *slog.Logger) *listener {
	return &listener{Listener: l, slots: slots, log: log, closed: make(chan struct{})}
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
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	release := sync.OnceFunc(func() { <-l.slots })
	if tcp, ok := c.(*net.TCPConn); ok {
		return &tcpConn{TCPConn: tcp, release: release}, nil
	}
	return &otherConn{Conn: c, release: release}, nil
}

// Close closes the listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
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
