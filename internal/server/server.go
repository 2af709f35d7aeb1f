// Package server accepts connections, no more than there is room for and not too
// many of one client, and has a handler answer the requests on them. Its connections
// end in generations, so that a program can be replaced without losing a request.
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

// Options says whose requests a server has answered, and by whom. All fields are set
// but where their comment says what zero means.
type Options struct {
	Handler http.Handler
	// Plain are listeners for HTTP/1.1 and for HTTP/2 without TLS, with prior
	// knowledge; Secure are for both over TLS. Run closes them.
	Plain, Secure []net.Listener
	TLS           *tls.Config // of Secure
	// FunctionTLS is what functions get that come to Plain over TLS; those that come to
	// Secure without it are served, too. nil: they get nothing of that.
	FunctionTLS *tls.Config

	MaxConnections int                      // open at once
	MaxPerClient   int                      // of one address, or network of 64 bits
	Unlimited      func(ip netip.Addr) bool // clients that may have any number of connections
	MaxHeaderBytes int                      // of a request

	HeaderTimeout time.Duration // to receive a request's header
	IdleTimeout   time.Duration // of a connection between requests
	StallTimeout  time.Duration // for a client of HTTP/2 to take what is sent
	// Grace is how long Run lets requests in flight go on when it has to end, and
	// Renew those of connections that were there before.
	Grace time.Duration
	// Pause is Run's grace after Renew, while new connections wait for another
	// process to accept them.
	Pause time.Duration
	// Linger is how long Renew leaves connections open that are idle, for their clients
	// to find another with their next request.
	Linger time.Duration

	Log *slog.Logger
}

// Server serves listeners. Use [New].
type Server struct {
	o        Options
	slots    chan struct{} // of connections
	callers  *share.Callers
	broken   chan error    // of one: why a listener does not accept any more
	inside   chan net.Conn // see the listener of that name
	draining chan struct{} // closed when Run begins to end
	ends     atomic.Bool   // see Ends

	// All connections that are accepted belong to the generation there is now; one
	// before it, if any, ends.
	mu          sync.Mutex // guards below
	now, before *generation
	renewed     bool // and none is left of those before
}

// New returns a server that accepts nothing yet.
func New(o Options) *Server {
	return &Server{
		o: o, slots: make(chan struct{}, o.MaxConnections), callers: share.NewCallers(o.MaxPerClient, o.Unlimited),
		broken: make(chan error, 1), inside: make(chan net.Conn), draining: make(chan struct{}),
	}
}

// Run serves the listeners until ctx ends; then it accepts nothing more, lets
// requests in flight finish for the grace period, and returns when none is left.
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

// Draining is closed when Run begins to end.
func (s *Server) Draining() <-chan struct{} { return s.draining }

// Ends reports whether every response is the last one of its connection.
func (s *Server) Ends() bool { return s.ends.Load() }

// drain ends what is in flight: by itself within the grace, else by force.
func (s *Server) drain(ctx context.Context) {
	close(s.draining)
	left, renewed := s.end()
	for _, l := range slices.Concat(s.o.Plain, s.o.Secure) {
		_ = l.Close() // it accepts no more
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
				s.cut(ctx, g, err)
			}
		})
	}
	all.Wait()
}

// cut ends what is left of g by force.
func (s *Server) cut(ctx context.Context, g *generation, reason error) {
	s.o.Log.WarnContext(ctx, "requests are cut off at the end of the grace", "err", errors.Join(reason, g.server.Close()))
}

// Renew ends every connection that there is, once its requests have ended and
// its client has been told, while new ones are served as ever. What is left of them after the
// grace is cut off. It returns when none is left, at a moment when no request is under
// way, if there is one soon: so Run can end within its pause, and no request waits
// for one of its own that waits to be accepted. Where ctx ends before, Run has the rest to end. It does nothing unless Run
// runs.
func (s *Server) Renew(ctx context.Context) {
	old := s.succeed()
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
		s.cut(ctx, old, err)
	}
	s.mu.Lock()
	now := s.now
	s.before, s.renewed = nil, true
	s.mu.Unlock()
	if now != nil {
		now.lull(ctx, s.o.Linger)
	}
}

// Renewing reports whether there are connections that Renew ends.
func (s *Server) Renewing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before != nil
}

// Resting reports whether no request is under way, and every response has been sent.
func (s *Server) Resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now == nil || s.now.resting()
}

// succeed puts another generation in place of the one there is, and returns that.
func (s *Server) succeed() (old *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || s.before != nil || s.ends.Swap(true) {
		return nil
	}
	s.now.shut()
	s.before, s.now = s.now, s.generation()
	return s.before
}

// begin makes the first generation.
func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.generation()
}

// end has the generations accept nothing more and returns those that are left. renewed
// is whether others wait for that.
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

// tell notes that a listener is broken; the first counts.
func (s *Server) tell(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// server is the HTTP server of all listeners. It sets no deadline on a whole
// request or response: those are for its handler to set, by progress.
func (s *Server) server(g *generation) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s.o.Handler,
		Protocols:         &protocols,
		TLSConfig:         s.o.TLS,
		ConnContext:       g.welcome,
		ConnState:         g.watch,
		ReadHeaderTimeout: s.o.HeaderTimeout,
		IdleTimeout:       s.o.IdleTimeout,
		MaxHeaderBytes:    s.o.MaxHeaderBytes,
		// whose answer to "OPTIONS *" would not end the connection where the handler's does
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

// UnreadBody bounds the unread request bodies that a connection of HTTP/2 buffers, in bytes.
const UnreadBody = 256 << 10
