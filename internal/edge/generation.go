package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// generation is an HTTP server and the loops that accept its connections.
type generation struct {
	server *http.Server
	doors  []*listener
	loops  sync.WaitGroup
	ending atomic.Bool // it accepts nothing more
	open   sync.Map    // of net.Conn to *connection
}

// generations are those of an edge. All connections that are accepted belong
// to the one there is now; one before it, if any, ends.
type generations struct {
	broken chan error  // of one: why a listener does not accept any more
	last   atomic.Bool // every response is the last one of its connection

	mu          sync.Mutex // guards below
	now, before *generation
	renewed     bool // and none is left of those before
}

// How long connections on which no request is under way are left open at the
// end, for what their clients may just be sending: where nobody waits for the
// end but who gave the signal, and where clients do.
const (
	lingerAtEnd     = 250 * time.Millisecond
	lingerAtRenewal = time.Second
)

// Renew ends every connection that there is, once its requests have ended and
// its client has been told, while new ones are served as ever. What is left of them after the
// grace is cut off. It returns when none is left, at a moment when no request is under
// way, if there is one soon: so Run can end within its pause, and no request waits
// for one of its own that waits to be accepted. Where ctx ends before, Run has the rest to end. It does nothing unless Run
// runs.
func (e *Edge) Renew(ctx context.Context) {
	old := e.succeed()
	if old == nil {
		return
	}
	old.linger(ctx, e.o.Linger)
	limit, cancel := context.WithTimeout(ctx, e.o.Grace)
	defer cancel()
	if err := old.server.Shutdown(limit); err != nil {
		if ctx.Err() != nil {
			return
		}
		e.cut(ctx, old, err)
	}
	e.serving.mu.Lock()
	now := e.serving.now
	e.serving.before, e.serving.renewed = nil, true
	e.serving.mu.Unlock()
	if now != nil {
		now.lull(ctx, e.o.Linger)
	}
}

// succeed puts another generation in place of the one there is, and returns that.
func (e *Edge) succeed() (old *generation) {
	s := &e.serving
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || s.before != nil || s.last.Swap(true) {
		return nil
	}
	s.now.shut()
	s.before, s.now = s.now, e.generation()
	return s.before
}

// begin makes the first generation.
func (e *Edge) begin() {
	s := &e.serving
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = e.generation()
}

// end has the generations accept nothing more and returns those that are left. renewed
// is whether others wait for that.
func (s *generations) end() (left []*generation, renewed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.shut()
	left = append(left, s.now)
	if s.before != nil {
		left = append(left, s.before)
	}
	s.now = nil
	return left, s.renewed
}

// tell notes that a listener is broken; the first counts.
func (s *generations) tell(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// server is the HTTP server of all listeners. It sets no deadline on a whole
// request or response: those follow progress, see [writer] and [upload].
func (e *Edge) server(g *generation) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           e,
		Protocols:         &protocols,
		TLSConfig:         e.greeting(e.o.TLS),
		ConnContext:       g.welcome,
		ConnState:         g.watch,
		ReadHeaderTimeout: e.o.HeaderTimeout,
		IdleTimeout:       e.o.IdleTimeout,
		MaxHeaderBytes:    e.o.MaxHeaderBytes,
		// whose answer to "OPTIONS *" would not end the connection where [newWriter] does
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(e.o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          250,
			MaxReceiveBufferPerConnection: unreadBody,
			MaxReceiveBufferPerStream:     unreadBody,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              e.o.StallTimeout,
		},
	}
}

// unreadBody is what a connection of HTTP/2 holds of bodies that nobody has read, at most.
const unreadBody = 256 << 10

// generation accepts connections for a server of their own.
func (e *Edge) generation() *generation {
	g := &generation{}
	g.server = e.server(g)
	serve := func(l net.Listener, serve func(net.Listener) error) {
		door := newListener(l, e.slots, e.callers, g.shed, e.o.Log)
		g.doors = append(g.doors, door)
		g.loops.Go(func() {
			if err := serve(door); !g.ending.Load() {
				e.serving.tell(err)
			}
		})
	}
	for _, l := range e.o.Plain {
		serve(l, g.server.Serve)
	}
	for _, l := range e.o.Secure {
		serve(l, func(l net.Listener) error { return g.server.ServeTLS(l, "", "") })
	}
	return g
}

// connection is what is known of a client's connection. Requests have it in
// their context.
type connection struct {
	begun atomic.Int64 // requests
	busy  atomic.Int64 // requests under way
	quiet atomic.Int64 // Unix nanoseconds: accepted, or last without a request under way
	asked atomic.Bool  // for a deployment
	tells atomic.Bool  // a request that it is refused
	sends atomic.Bool  // the last response may be on its way behind its handler, for a second at most
	from  net.Addr
	shed  func() bool // see [generation.shed]
}

type connectionKey struct{}

// connectionOf is the connection of a request; nil where it has none.
func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// enter notes that a request is under way, until leave.
func (c *connection) enter() {
	if c != nil {
		c.begun.Add(1)
		c.busy.Add(1)
	}
}

// leave notes the end of a request: whether its client has the response, and
// whether that told it that the request is refused.
func (c *connection) leave(sent, refused bool) {
	if c != nil {
		if refused {
			c.tells.Store(false)
		}
		c.quiet.Store(time.Now().UnixNano())
		c.sends.Store(!sent)
		c.busy.Add(-1)
	}
}

// admit takes a place for a request of c, to be left in any case: the connection has
// one, and each request beside others counts as another. It may want a file, or a
// connection to an origin, as they do.
func (e *Edge) admit(c *connection) (leave func(), ok bool) {
	if c == nil || c.busy.Load() == 1 {
		return func() {}, true
	}
	counted := e.callers.Enter(c.from)
	if counted == nil {
		return func() {}, false
	}
	for {
		select {
		case e.slots <- struct{}{}:
			return func() { counted(); <-e.slots }, true
		default:
			if !c.shed() {
				return counted, false
			}
		}
	}
}

// firstOf reports whether the request of ctx is the first of its connection.
func firstOf(ctx context.Context) bool {
	c := connectionOf(ctx)
	return c != nil && !c.asked.Load() && c.asked.CompareAndSwap(false, true)
}

// welcome notes a connection that was accepted. It is a hook of [http.Server].
func (g *generation) welcome(ctx context.Context, c net.Conn) context.Context {
	known := &connection{from: c.RemoteAddr(), shed: g.shed}
	known.quiet.Store(time.Now().UnixNano())
	g.open.Store(c, known)
	return context.WithValue(ctx, connectionKey{}, known)
}

// watch notes what becomes of connections. It is a hook of [http.Server].
func (g *generation) watch(c net.Conn, state http.ConnState) {
	if known, ok := g.open.Load(c); ok && state == http.StateIdle {
		known.(*connection).sends.Store(false) //nolint:errcheck,forcetypeassert // nothing else is in there
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
		known, ok := value.(*connection)
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
		if known, ok := value.(*connection); ok && known.begun.Load() == 0 {
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
		if c, ok := known.(*connection); ok && c.busy.Load() > 0 {
			busy++
		} else {
			quiet++
		}
		return true
	})
	return quiet, busy
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
