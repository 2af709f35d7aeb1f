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
	server *http.Server
	doors  []net.Listener
	loops  sync.WaitGroup
	ending atomic.Bool // it accepts nothing more
	open   sync.Map    // of net.Conn to *Connection
}

// How long connections on which no request is under way are left open at the
// end, for what their clients may just be sending: where nobody waits for the
// end but who gave the signal, and where clients do.
const (
	lingerAtEnd     = 250 * time.Millisecond
	lingerAtRenewal = time.Second
)

// generation accepts connections for a server of their own.
func (s *Server) generation() *generation {
	g := &generation{}
	g.server = s.server(g)
	loop := func(door net.Listener, serve func(net.Listener) error) {
		g.doors = append(g.doors, door)
		g.loops.Go(func() {
			if err := serve(door); !g.ending.Load() {
				s.tell(err)
			}
		})
	}
	for _, l := range s.o.Plain {
		loop(s.door(g, l, s.o.FunctionTLS), g.server.Serve)
	}
	for _, l := range s.o.Secure {
		loop(s.door(g, l, s.o.TLS), func(l net.Listener) error { return g.server.ServeTLS(l, "", "") })
	}
	loop(&inside{conns: s.inside, closed: make(chan struct{})}, g.server.Serve)
	return g
}

// door is l for g. Functions that come by it over TLS get secure.
func (s *Server) door(g *generation, l net.Listener, secure *tls.Config) *listener {
	door := newListener(l, s.slots, s.callers, g.shed, s.o.Log)
	if s.o.FunctionTLS != nil {
		door.greet = func(c net.Conn) { s.greet(c, secure) }
	}
	return door
}

// welcome notes a connection that was accepted. It is a hook of [http.Server].
func (g *generation) welcome(ctx context.Context, c net.Conn) context.Context {
	known := &Connection{from: c.RemoteAddr(), shed: g.shed}
	known.quiet.Store(time.Now().UnixNano())
	if _, known.inside = c.(*pipe); !known.inside { // whose requests are parts of others
		g.open.Store(c, known)
	}
	return context.WithValue(ctx, connectionKey{}, known)
}

// watch notes what becomes of connections. It is a hook of [http.Server].
func (g *generation) watch(c net.Conn, state http.ConnState) {
	if known, ok := g.open.Load(c); ok && state == http.StateIdle {
		known.(*Connection).sends.Store(false) //nolint:errcheck,forcetypeassert // nothing else is in there
	}
	if state == http.StateClosed || state == http.StateHijacked {
		g.open.Delete(c)
	}
}

// shed closes the connection that has been without a request for longest, and
// reports whether there was one.
func (g *generation) shed() bool {
	var oldest net.Conn
	var since int64
	g.open.Range(func(key, value any) bool {
		c, _ := key.(net.Conn)
		known, ok := value.(*Connection)
		if !ok || known.busy.Load() > 0 || known.sends.Load() && time.Now().UnixNano()-known.quiet.Load() < int64(time.Second) {
			return true
		}
		if quiet := known.quiet.Load(); oldest == nil || quiet < since {
			oldest, since = c, quiet
		}
		return true
	})
	if oldest == nil {
		return false
	}
	g.open.Delete(oldest)
	if secure, ok := oldest.(*tls.Conn); ok {
		oldest = secure.NetConn() // which does not wait for its client
	}
	_ = oldest.Close() // its client sees that, and its slot is free
	return true
}

// shut accepts nothing more. All connections that were accepted are open by the
// time it returns.
func (g *generation) shut() {
	g.ending.Store(true)
	for _, door := range g.doors {
		_ = door.Close() // accepting ends in any case
	}
	g.loops.Wait()
}

// linger leaves connections open on which no request is under way, for d or
// until ctx ends: [http.Server.Shutdown] drops even a request that arrives just
// before it. Then it closes those that never had one, for which that would wait.
func (g *generation) linger(ctx context.Context, d time.Duration) {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if await(limit, 5*time.Millisecond, func() bool {
		quiet, _ := g.count()
		return quiet == 0
	}) {
		return
	}
	g.open.Range(func(key, value any) bool {
		c, _ := key.(net.Conn)
		if known, ok := value.(*Connection); ok && known.begun.Load() == 0 {
			_ = c.Close() // its client sees that
		}
		return true
	})
}

// lull waits for a moment when no request is under way, for d or until ctx ends.
func (g *generation) lull(ctx context.Context, d time.Duration) {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	await(limit, time.Millisecond, func() bool {
		_, busy := g.count()
		return busy == 0
	})
}

// count returns on how many connections no request is under way, and on how many one is.
func (g *generation) count() (quiet, busy int) {
	g.open.Range(func(_, known any) bool {
		if c, ok := known.(*Connection); ok && c.busy.Load() > 0 {
			busy++
		} else {
			quiet++
		}
		return true
	})
	return quiet, busy
}

// resting reports whether no connection has a request under way, or a response.
func (g *generation) resting() bool {
	rests := true
	g.open.Range(func(_, known any) bool {
		c, ok := known.(*Connection)
		rests = ok && c.busy.Load() == 0 && !c.sends.Load()
		return rests
	})
	return rests
}

// await looks every so often whether something is so, and returns whether it
// was before ctx ended.
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
