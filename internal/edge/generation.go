package edge

import (
	"context"
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
// grace is cut off. It returns when none is left; then Run can end within its
// pause. Where ctx ends before, Run has the rest to end. It does nothing unless Run
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
	defer e.serving.mu.Unlock()
	e.serving.before, e.serving.renewed = nil, true
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
		ErrorLog:          slog.NewLogLogger(e.o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     e.o.StallTimeout,
		},
	}
}

// generation accepts connections for a server of their own.
func (e *Edge) generation() *generation {
	g := &generation{}
	g.server = e.server(g)
	serve := func(l net.Listener, serve func(net.Listener) error) {
		door := newListener(l, e.slots, e.callers, e.o.Log)
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
	asked atomic.Bool  // for a deployment
}

type connectionKey struct{}

// enter notes that a request of ctx's connection is under way, until leave.
func enter(ctx context.Context) (leave func()) {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return func() {}
	}
	c.begun.Add(1)
	c.busy.Add(1)
	return func() { c.busy.Add(-1) }
}

// firstOf reports whether the request of ctx is the first of its connection.
func firstOf(ctx context.Context) bool {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	return ok && !c.asked.Load() && c.asked.CompareAndSwap(false, true)
}

// welcome notes a connection that was accepted. It is a hook of [http.Server].
func (g *generation) welcome(ctx context.Context, c net.Conn) context.Context {
	known := &connection{}
	g.open.Store(c, known)
	return context.WithValue(ctx, connectionKey{}, known)
}

// watch forgets connections. It is a hook of [http.Server].
func (g *generation) watch(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		g.open.Delete(c)
	}
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
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for g.quiet(func(net.Conn, *connection) {}) > 0 {
		select {
		case <-tick.C:
			continue
		case <-limit.Done():
		}
		g.quiet(func(c net.Conn, known *connection) {
			if known.begun.Load() == 0 {
				_ = c.Close() // its client sees that
			}
		})
		return
	}
}

// quiet calls each for connections on which no request is under way, and returns how many they are.
func (g *generation) quiet(each func(net.Conn, *connection)) (n int) {
	g.open.Range(func(key, value any) bool {
		c, is := key.(net.Conn)
		known, knows := value.(*connection)
		if is && knows && known.busy.Load() == 0 {
			n++
			each(c, known)
		}
		return true
	})
	return n
}
