package wasi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	maxHead        = 1 << 20                // bytes of the head of a request, and of a response
	hangUpInterval = 250 * time.Millisecond // interval of checks whether the supervisor has closed the connection
	drainTimeout   = time.Second            // time for reading the rest of a body on a busy host
	maxDrained     = 256 << 10              // bytes
	endTimeout     = 2 * time.Second        // time for a module to end after its request
)

// server answers the requests of the supervisor.
type server struct {
	module  *module
	control *guest.Sender
}

// serve answers requests until the listener fails.
func (s *server) serve(listener net.Listener) error {
	h := http.Server{
		Handler: s, MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		ReadHeaderTimeout: 0, // the supervisor keeps connections open, and is trusted
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if conn, ok := c.(*connection); ok && (state == http.StateIdle || state == http.StateClosed) {
				conn.sendEnd()
			}
		},
	}
	return h.Serve(connections{listener})
}

// ServeHTTP answers a request for the function, or one for the guest itself.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get(guest.HeaderOperation) {
	case "":
	case guest.OperationPing:
		return
	case guest.OperationArchive:
		s.archive(w)
		return
	default:
		http.Error(w, "a WebAssembly guest does not support this operation", http.StatusConflict)
		return
	}
	conn, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		http.Error(w, "no connection of the supervisor", http.StatusInternalServerError)
		return
	}
	reference := guest.Context{InvocationID: r.Header.Get(guest.HeaderInvocation)}
	reference.RequestID, _ = strconv.ParseUint(r.Header.Get(guest.HeaderRequest), 10, 64) // 0 is a request of the supervisor itself
	x := newExchange(s, conn, reference, w, r)
	defer x.cancel(nil)
	x.answer()
}

// archive answers with the compiled module.
func (s *server) archive(w http.ResponseWriter) {
	err := s.module.pack(w)
	switch {
	case errors.Is(err, errNoArchive), errors.Is(err, errTooLarge):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		panic(http.ErrAbortHandler) // breaks the connection, so that the supervisor does not store an incomplete archive
	}
}

// connections accepts connections of the supervisor.
type connections struct{ net.Listener }

// Accept waits for a connection.
func (l connections) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c}, nil
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// connection is a connection of the supervisor, with one request at a time.
type connection struct {
	net.Conn

	mu  sync.Mutex // guards the fields below
	end func()     // reports the end of the current request; nil: it was reported, or there is none
}

// onEnd sets the function that reports the end of the current request. The connection
// calls it once, after the response is written or the connection is closed.
func (c *connection) onEnd(end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = end
}

// sendEnd reports the end of the request, once.
func (c *connection) sendEnd() {
	c.mu.Lock()
	end := c.end
	c.end = nil
	c.mu.Unlock()
	if end != nil {
		end()
	}
}

// hungUp reports whether the supervisor has closed its end. [http.Server] detects that
// only for a request without a body, or after the end of the body.
func (c *connection) hungUp() bool {
	with, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return true
	}
	up := true
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor fits
		_, err := unix.Poll(fds, 0)
		up = err != nil || fds[0].Revents&unix.POLLHUP == 0
	})
	return err != nil || !up
}

var errHungUp = errors.New("the supervisor has hung up")

// watch cancels a request after the supervisor has closed the connection, until ctx
// ends.
func (c *connection) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(hangUpInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.hungUp() {
				end(errHungUp)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
