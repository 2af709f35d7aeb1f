package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// generation is an HTTP server and the loops that accept its connections.
type generation struct {
	server    *http.Server
	listeners []net.Listener
	loops     sync.WaitGroup
	ending    atomic.Bool // whether it accepts no further connections
	open      sync.Map    // open connections: net.Conn to *Connection
}

// The time that idle connections stay open at the end, for requests that their
// clients are sending at that moment: when the process stops, and after Renew, when
// new connections wait for the next process.
const (
	lingerAtEnd     = 250 * time.Millisecond
	lingerAtRenewal = time.Second
)

// generation starts a generation, which accepts connections on all listeners.
func (s *Server) generation() *generation {
	g := &generation{}
	g.server = s.server(g)
	loop := func(wrapped net.Listener, serve func(net.Listener) error) {
		g.listeners = append(g.listeners, wrapped)
		g.loops.Go(func() {
			if err := serve(wrapped); !g.ending.Load() {
				s.fail(err)
			}
		})
	}
	for _, l := range s.o.Plain {
		loop(s.listen(g, l, s.o.FunctionTLS), g.server.Serve)
	}
	for _, l := range s.o.Secure {
		loop(s.listen(g, l, s.o.TLS), func(l net.Listener) error { return g.server.ServeTLS(l, "", "") })
	}
	loop(&inside{conns: s.inside, closed: make(chan struct{})}, g.server.Serve)
	return g
}

// listen returns the listener of g on l. Functions that connect to it over TLS get the
// configuration secure.
func (s *Server) listen(g *generation, l net.Listener, secure *tls.Config) *listener {
	wrapped := newListener(l, s.slots, s.clients, g.closeIdle, s.o.Log)
	if s.o.FunctionTLS != nil {
		wrapped.detectTLS = func(c net.Conn) { s.detectTLS(c, secure) }
	}
	return wrapped
}

// onAccept registers an accepted connection. It is a hook of [http.Server].
func (g *generation) onAccept(ctx context.Context, c net.Conn) context.Context {
	known := &Connection{from: c.RemoteAddr(), closeIdle: g.closeIdle}
	known.idleSince.Store(time.Now().UnixNano())
	if _, known.inside = c.(*pipe); !known.inside { // the requests of a pipe are parts of others
		g.open.Store(c, known)
	}
	return context.WithValue(ctx, connectionKey{}, known)
}

// watch notes the state changes of connections. It is a hook of [http.Server].
func (g *generation) watch(c net.Conn, state http.ConnState) {
	if known, ok := g.open.Load(c); ok && state == http.StateIdle {
		known.(*Connection).sending.Store(false) //nolint:errcheck,forcetypeassert // nothing else is in there
	}
	if state == http.StateClosed || state == http.StateHijacked {
		g.open.Delete(c)
	}
}

// closeIdle closes the connection that has been idle longest, and reports whether there
// was an idle one.
func (g *generation) closeIdle() bool {
	var oldest net.Conn
	var since int64
	g.open.Range(func(key, value any) bool {
		c, _ := key.(net.Conn)
		known, ok := value.(*Connection)
		if !ok || known.busy.Load() > 0 || known.sending.Load() && time.Now().UnixNano()-known.idleSince.Load() < int64(time.Second) {
			return true
		}
		if idle := known.idleSince.Load(); oldest == nil || idle < since {
			oldest, since = c, idle
		}
		return true
	})
	if oldest == nil {
		return false
	}
	g.open.Delete(oldest)
	if secure, ok := oldest.(*tls.Conn); ok {
		oldest = secure.NetConn() // its Close does not wait for the client
	}
	_ = oldest.Close() // frees the slot even after an error
	return true
}

// shut stops accepting connections. When it returns, all accepted connections are in
// g.open.
func (g *generation) shut() {
	g.ending.Store(true)
	for _, l := range g.listeners {
		_ = l.Close() // Accept ends even after an error
	}
	g.loops.Wait()
}

// linger leaves idle connections open for d or until ctx ends, because
// [http.Server.Shutdown] drops even a request that arrives just before it. Then linger
// closes the connections that never had a request, for which Shutdown would wait.
func (g *generation) linger(ctx context.Context, d time.Duration) {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if await(limit, 5*time.Millisecond, func() bool {
		idle, _ := g.count()
		return idle == 0
	}) {
		return
	}
	g.open.Range(func(key, value any) bool {
		c, _ := key.(net.Conn)
		if known, ok := value.(*Connection); ok && known.requests.Load() == 0 {
			_ = c.Close() // closed even after an error
		}
		return true
	})
}

// awaitIdle waits for a moment without requests in progress, for d or until ctx ends.
func (g *generation) awaitIdle(ctx context.Context, d time.Duration) {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	await(limit, time.Millisecond, func() bool {
		_, busy := g.count()
		return busy == 0
	})
}

// count returns the number of idle and of busy connections.
func (g *generation) count() (idle, busy int) {
	g.open.Range(func(_, known any) bool {
		if c, ok := known.(*Connection); ok && c.busy.Load() > 0 {
			busy++
		} else {
			idle++
		}
		return true
	})
	return idle, busy
}

// isIdle reports whether no connection has a request in progress or an unsent
// response.
func (g *generation) isIdle() bool {
	idle := true
	g.open.Range(func(_, known any) bool {
		c, ok := known.(*Connection)
		idle = ok && c.busy.Load() == 0 && !c.sending.Load()
		return idle
	})
	return idle
}

// await calls is at the interval every until it returns true, and reports whether it
// did before ctx ended.
func await(ctx context.Context, every time.Duration, is func() bool) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
