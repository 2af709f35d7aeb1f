// Package server accepts connections, up to a limit in total and per client, and
// passes their requests to a handler. It drains its connections by generation, so that
// a program can be replaced without losing a request.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/share"
)

// Options configures a server: its handler, listeners and limits. The caller sets all
// fields, except those whose comment defines the zero value.
type Options struct {
	Handler http.Handler
	// Plain are listeners for HTTP/1.1 and for HTTP/2 without TLS, with prior
	// knowledge; Secure are for both over TLS. Run closes them.
	Plain, Secure []net.Listener
	TLS           *tls.Config // configuration of Secure
	// FunctionTLS is the configuration for functions that connect to Plain over TLS. If
	// it is set, the server also accepts functions that connect to Secure without TLS.
	// If nil, it accepts neither.
	FunctionTLS *tls.Config

	MaxConnections int                      // maximum open connections
	MaxPerClient   int                      // maximum connections of one IPv4 address or IPv6 /64 network
	Unlimited      func(ip netip.Addr) bool // reports clients without a maximum of connections
	MaxHeaderBytes int                      // maximum size of a request's header

	HeaderTimeout time.Duration // time limit for receiving a request's header
	IdleTimeout   time.Duration // maximum time between two requests of a connection
	StallTimeout  time.Duration // maximum time in which an HTTP/2 client receives nothing
	// Grace is the time limit for requests in flight when Run ends and, on older
	// connections, during Renew.
	Grace time.Duration
	// Pause replaces Grace when Run ends after Renew, while new connections wait for
	// another process to accept them.
	Pause time.Duration
	// Linger is how long Renew leaves idle connections open, so that a client learns
	// from its next response that the connection ends.
	Linger time.Duration

	Log *slog.Logger
}

// Server serves listeners. Use [New].
type Server struct {
	o        Options
	slots    chan struct{} // one element for each used connection slot
	clients  *share.Callers
	broken   chan error    // error of the first listener that failed
	inside   chan net.Conn // connections for the listener inside
	draining chan struct{} // closed when Run begins to end
	ends     atomic.Bool   // see Ends

	// Accepted connections belong to the generation now. The generation before, if any,
	// is ending.
	mu          sync.Mutex // guards the fields below
	now, before *generation
	renewed     bool // whether Renew has completed
}

// New returns a server that accepts connections once Run is called.
func New(o Options) *Server {
	return &Server{
		o: o, slots: make(chan struct{}, o.MaxConnections), clients: share.NewCallers(o.MaxPerClient, o.Unlimited),
		broken: make(chan error, 1), inside: make(chan net.Conn), draining: make(chan struct{}),
	}
}

// Run serves the listeners until ctx ends. Then it accepts no further connections,
// drains the requests in flight for the grace period, cuts off the rest and returns.
// It closes the listeners. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	s.begin()
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.broken:
	}
	s.drain(ctx)
	if failed != nil {
		return fmt.Errorf("serve: %w", failed)
	}
	return nil
}

// Draining returns a channel that is closed when Run begins to end.
func (s *Server) Draining() <-chan struct{} { return s.draining }

// Ends reports whether every response is the last one of its connection.
func (s *Server) Ends() bool { return s.ends.Load() }

// drain waits for the requests in flight for the grace period, and cuts off the rest.
func (s *Server) drain(ctx context.Context) {
	close(s.draining)
	left, renewed := s.end()
	for _, l := range slices.Concat(s.o.Plain, s.o.Secure) {
		_ = l.Close() // its accept loop has ended
	}
	s.ends.Store(true)
	grace, linger := s.o.Grace, lingerAtEnd
	if renewed {
		grace, linger = s.o.Pause, lingerAtRenewal
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	var all sync.WaitGroup
	for _, g := range left {
		all.Go(func() {
			g.linger(ctx, linger)
			if err := g.server.Shutdown(ctx); err != nil {
				s.closeRemaining(ctx, g, err)
			}
		})
	}
	all.Wait()
}

// closeRemaining closes the remaining connections of g.
func (s *Server) closeRemaining(ctx context.Context, g *generation, reason error) {
	s.o.Log.WarnContext(ctx, "requests cut off at the end of the grace period", "err", errors.Join(reason, g.server.Close()))
}

// Renew ends every open connection after its requests, with a notice to its client in
// the last response, while the server serves new connections. It cuts off the old
// connections that remain after the grace period. Renew returns when the old
// connections are closed, at a moment without requests in progress if one comes soon:
// then Run can end within its pause, and no request waits for a connection of its own
// that waits to be accepted. If ctx ends first, Run ends the remaining connections.
// Renew does nothing unless Run is running.
func (s *Server) Renew(ctx context.Context) {
	old := s.replaceGeneration()
	if old == nil {
		return
	}
	old.linger(ctx, s.o.Linger)
	limit, cancel := context.WithTimeout(ctx, s.o.Grace)
	defer cancel()
	if err := old.server.Shutdown(limit); err != nil {
		if ctx.Err() != nil {
			return
		}
		s.closeRemaining(ctx, old, err)
	}
	s.mu.Lock()
	now := s.now
	s.before, s.renewed = nil, true
	s.mu.Unlock()
	if now != nil {
		now.awaitIdle(ctx, s.o.Linger)
	}
}

// Renewing reports whether Renew is ending connections.
func (s *Server) Renewing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before != nil
}

// Resting reports whether no request is in progress and every response has been sent.
func (s *Server) Resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now == nil || s.now.isIdle()
}

// replaceGeneration replaces the current generation with a new one, and returns the old one.
func (s *Server) replaceGeneration() (old *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || s.before != nil || s.ends.Swap(true) {
		return nil
	}
	s.now.shut()
	s.before, s.now = s.now, s.generation()
	return s.before
}

// begin starts the first generation.
func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.generation()
}

// end stops accepting connections and returns the remaining generations. renewed
// reports whether Renew has completed, so that new connections wait for the next
// process.
func (s *Server) end() (left []*generation, renewed bool) {
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

// fail reports the error of a listener to Run, which takes the first one.
func (s *Server) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// server returns the HTTP server of g. It sets no deadline on a whole request or
// response: the handler sets deadlines by progress.
func (s *Server) server(g *generation) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s.o.Handler,
		Protocols:         &protocols,
		TLSConfig:         s.o.TLS,
		ConnContext:       g.onAccept,
		ConnState:         g.watch,
		ReadHeaderTimeout: s.o.HeaderTimeout,
		IdleTimeout:       s.o.IdleTimeout,
		MaxHeaderBytes:    s.o.MaxHeaderBytes,
		// the general handler would not end the connection after "OPTIONS *" where s.o.Handler does
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          250,
			MaxReceiveBufferPerConnection: UnreadBody,
			MaxReceiveBufferPerStream:     UnreadBody,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              s.o.StallTimeout,
		},
	}
}

// UnreadBody bounds, in bytes, the unread request bodies that an HTTP/2 connection
// buffers.
const UnreadBody = 256 << 10
