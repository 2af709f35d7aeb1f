// Package upstream is an HTTP/1.1 client of the processes that answer requests.
package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
)

const (
	maxIdle = 64      // idle connections
	maxHead = 1 << 20 // bytes of the head of a response

	hopsKey = "X-Vercel-Internal-Hops" // guest.HeaderHops in a header
)

var (
	// ErrUnsent means that the process received no part of the request that it could
	// act on.
	ErrUnsent = errors.New("the request could not be sent")
	// errSwitched ends a connection whose process switches the protocol without a
	// request for it.
	errSwitched = errors.New("the response switches the protocol without a request for it")
	// errHead ends a response whose head is too long.
	errHead = errors.New("the head of the response is too long")
)

// Client is an HTTP/1.1 client of one process. Unlike [http.Transport] it sends no
// request twice, with the exception in [Client.RoundTrip], adds no header fields,
// and runs no goroutine besides one that sends a body. Dial is required. The methods
// may be called concurrently.
type Client struct {
	Dial func(context.Context) (net.Conn, error)
	// Ended is called when a request has ended, with its number and whether its
	// connection broke, for a process that does not report this itself. Requests
	// then have no fields for the agent. nil means that the process reports the end.
	Ended func(id uint64, broke bool)
	// Foreign means that the server is a user's program, which may close idle
	// connections at any time and may delimit its messages incorrectly. False means
	// that the server is an agent of the platform.
	Foreign bool

	mu     sync.Mutex // guards the fields below
	idle   []*connection
	closed bool
}

// BodyError is a failure to read the body of a request. It ends the request.
type BodyError struct{ error }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.error }

// connection is a connection that carries one request at a time.
type connection struct {
	net.Conn

	r         *bufio.Reader // reads through [connection.Read]
	out       []byte        // buffer for bytes that are written at once
	left      int64         // bytes that may still be read
	responded bool          // bytes have arrived since the head of the last request

	raw    syscall.RawConn    // nil: the connection has no descriptor to poll
	peek   func(uintptr) bool // for raw: sets silent
	silent bool               // the connection is open, and no byte is available
}

// newConnection wraps a new connection.
func newConnection(conn net.Conn) *connection {
	c := &connection{Conn: conn}
	c.r = bufio.NewReader(c)
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // nil after an error
	}
	var b [1]byte
	c.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a descriptor
		c.silent = errors.Is(err, syscall.EAGAIN)
		return true
	}
	return c
}

// reusable reports whether an idle connection can carry another request: it is open,
// and no byte has arrived since the last response. Such a byte belongs to no request
// and would be read as the start of the next response.
func (c *connection) reusable() bool {
	if c.raw == nil || c.r.Buffered() > 0 {
		return false
	}
	c.silent = false
	return c.raw.Read(c.peek) == nil && c.silent
}

// Read reads up to the remaining limit.
func (c *connection) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHead
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.responded = c.responded || n > 0
	return n, err
}

// close closes the connection.
func (c *connection) close() { _ = c.Close() }

// take returns a connection and whether it has carried a request before: the most
// recently used one, or a new one. It closes idle connections that the process has
// closed, or on which the process sent unexpected bytes.
func (u *Client) take(ctx context.Context) (c *connection, reused bool, err error) {
	for c := u.pop(); c != nil; c = u.pop() {
		if c.reusable() {
			return c, true, nil
		}
		c.close()
	}
	c, err = u.dial(ctx)
	return c, false, err
}

// pop removes the most recently used connection from the idle ones; nil means that
// none is idle.
func (u *Client) pop() *connection {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := len(u.idle) - 1
	if last < 0 {
		return nil
	}
	c := u.idle[last]
	u.idle = u.idle[:last]
	return c
}

func (u *Client) dial(ctx context.Context) (*connection, error) {
	conn, err := u.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return newConnection(conn), nil
}

// put adds c to the idle connections. It closes a connection with unread bytes,
// which would be read as the next response.
func (u *Client) put(c *connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.idle) == maxIdle || c.r.Buffered() > 0 {
		c.close()
		return
	}
	u.idle = append(u.idle, c)
}

// Close closes the idle connections. Connections in use close after their requests.
func (u *Client) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.CloseIdle()
}

// CloseIdle closes the idle connections. Later requests dial new ones.
func (u *Client) CloseIdle() {
	for c := u.pop(); c != nil; c = u.pop() {
		c.close()
	}
}

// RoundTrip sends req to the process as its request number id; 0 is a request of the
// platform. The body of the response is a [Body], or an [io.ReadWriteCloser] after a
// protocol switch. The end of the context breaks the connection, and so does an
// error in reading the body of the request. Errors are [ErrUnsent], a [BodyError],
// [lateen.ErrInvalid] for a request that HTTP cannot express, and errors of the
// connection.
//
// For a [Client.Foreign] process, RoundTrip sends a request a second time, on a new
// connection, if a reused connection ended before the first byte of a response and
// the request cannot take effect twice: see [exchange.repeatable].
func (u *Client) RoundTrip(req *http.Request, id uint64) (*http.Response, error) {
	c, reused, err := u.take(req.Context())
	if err != nil {
		CloseBody(req)
		return nil, err
	}
	x := u.begin(c, req, id)
	resp, err := x.roundTrip(req)
	if err != nil && reused && u.Foreign && x.repeatable(req, err) {
		if again, dialErr := u.dial(req.Context()); dialErr == nil {
			x.stop()
			c.close()
			x = u.begin(again, req, id)
			resp, err = x.roundTrip(req)
		}
	}
	if err != nil {
		return nil, x.fail(req, err)
	}
	return x.wrap(resp), nil
}

func (u *Client) begin(c *connection, req *http.Request, id uint64) *exchange {
	x := &exchange{client: u, conn: c, id: id, sending: true, receiving: true, upgrade: upgrades(req)}
	x.stop = context.AfterFunc(req.Context(), c.close)
	return x
}

// exchange is a request and its response on a connection. Each half ends separately;
// after both the connection is reused if it is clean.
type exchange struct {
	client *Client
	conn   *connection
	id     uint64
	stop   func() bool // cancels the wait for the end of the context

	upgrade bool // the request asks for another protocol
	sent    bool // the head of the request was written

	mu                 sync.Mutex // guards the fields below
	sending, receiving bool       // halves in progress
	worst              outcome
	bodyErr            error // error in reading the body of the request
}

// roundTrip sends the request and reads the head of the response.
func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	if err := x.conn.writeHead(req, x.id, x.client.Ended == nil); err != nil {
		return nil, err
	}
	x.sent = true
	if HasBody(req) {
		go x.send(req, trailerNames(req)) // ends with the body, or with the connection
	}
	resp, err := x.conn.readResponse(req, x.upgrade)
	if err != nil {
		return nil, fmt.Errorf("read the response's head: %w", err)
	}
	if !HasBody(req) {
		CloseBody(req)
		x.end(&x.sending, clean)
	}
	return resp, nil
}

// repeatable reports whether a request that failed on a reused connection can be
// sent again: its head could not be written, or its method is idempotent (RFC 9110
// §9.2.2), it has no body, and the connection ended before a byte of a response
// arrived (RFC 9112 §9.3.1).
func (x *exchange) repeatable(req *http.Request, err error) bool {
	if req.Context().Err() != nil {
		return false
	}
	if !x.sent {
		return errors.Is(err, ErrUnsent)
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return !HasBody(req) && !x.conn.responded
	}
	return false
}

// fail ends an exchange without a response, and returns the cause.
func (x *exchange) fail(req *http.Request, err error) error {
	if !x.sent || !HasBody(req) { // no goroutine reads the body
		CloseBody(req)
		x.end(&x.sending, broken)
	}
	x.end(&x.receiving, broken)
	if bodyErr := x.bodyError(); bodyErr != nil {
		return fmt.Errorf("read the request's body: %w", &BodyError{bodyErr}) // the cause of err
	}
	return err
}

// outcome is the result of one half of an exchange.
type outcome int

const (
	clean   outcome = iota // no unread or unsent bytes are left on the connection
	spoiled                // the other half may continue, but no further request
	broken                 // neither half may continue
)

// end ends a half, once.
func (x *exchange) end(half *bool, how outcome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !*half {
		return
	}
	*half = false
	x.worst = max(x.worst, how)
	if how == broken {
		x.conn.close()
	}
	if x.sending || x.receiving {
		return
	}
	if x.stop() && x.worst == clean {
		x.client.put(x.conn)
	} else {
		x.conn.close()
	}
	if x.client.Ended != nil {
		x.client.Ended(x.id, x.worst == broken)
	}
}

// send sends the body of a request as it arrives, and then the trailer fields with
// the given names.
func (x *exchange) send(req *http.Request, trailers []string) {
	defer CloseBody(req)
	hungUp, err := x.conn.writeBody(req, trailers)
	switch {
	case err == nil && len(trailers) > 0 && x.client.Foreign: // the program may not support trailers
		x.end(&x.sending, spoiled)
	case err == nil:
		x.end(&x.sending, clean)
	case hungUp: // the process may have answered all the same
		x.end(&x.sending, spoiled)
	default:
		x.mu.Lock()
		x.bodyErr = err
		x.mu.Unlock()
		x.end(&x.sending, broken)
	}
}

func (x *exchange) bodyError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bodyErr
}

// wrap prepares resp for the caller.
func (x *exchange) wrap(resp *http.Response) *http.Response {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &upgraded{x}
		return resp
	}
	body := &Body{ReadCloser: resp.Body, exchange: x, atEnd: clean}
	if resp.Close || x.ambiguous(resp) {
		body.atEnd = spoiled
	}
	for _, list := range resp.Header["Connection"] {
		for option := range strings.SplitSeq(list, ",") { // fields for this connection only (RFC 9110 §7.6.1)
			resp.Header.Del(strings.TrimSpace(option))
		}
	}
	resp.Header.Del("Connection")
	resp.Header.Del("Keep-Alive")
	if resp.Body == http.NoBody || resp.ContentLength == 0 {
		x.end(&x.receiving, body.atEnd)
	}
	resp.Body = body
	return resp
}

// ambiguous reports whether the process may see the end of the messages at another
// byte, so that the connection must not carry another request. This holds for an
// upgrade that the process did not accept, for a body announced with a status that
// has none (RFC 9110 §6.4.1), for a foreign program's response to HEAD, and for a
// foreign program that may have left the body of the request unread and may take it
// for the next request.
func (x *exchange) ambiguous(resp *http.Response) bool {
	announced := resp.Header["Content-Length"] != nil || len(resp.TransferEncoding) > 0
	switch {
	case x.upgrade, x.client.Foreign && HasBody(resp.Request):
		return true
	case resp.Request.Method == http.MethodHead:
		return x.client.Foreign
	case resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		return announced
	}
	return false
}

// Body is the body of a response. Its end or Close ends the exchange.
type Body struct {
	io.ReadCloser

	// Explain returns the reason of a broken response; nil: the connection's error.
	Explain func(error) error

	exchange *exchange
	atEnd    outcome // outcome at the end of the body
}

// Read implements [io.Reader]. An error other than io.EOF means that the response
// broke off.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.exchange.end(&b.exchange.receiving, b.atEnd)
	case err != nil:
		b.exchange.end(&b.exchange.receiving, broken)
		if b.Explain != nil {
			err = b.Explain(err)
		}
	}
	return n, err
}

// Close cancels the unread part of the body.
func (b *Body) Close() error {
	b.exchange.end(&b.exchange.receiving, broken)
	return nil
}

// upgraded is a connection after a protocol switch.
type upgraded struct{ exchange *exchange }

// Read reads from the process.
func (u *upgraded) Read(p []byte) (int, error) { return u.exchange.conn.r.Read(p) }

// Write writes to the process.
func (u *upgraded) Write(p []byte) (int, error) { return u.exchange.conn.Write(p) }

// Close ends the connection.
func (u *upgraded) Close() error {
	u.exchange.end(&u.exchange.receiving, broken)
	return nil
}

// HasBody reports whether a request has a body to send.
func HasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody && req.ContentLength != 0
}

// CloseBody closes the body of a request.
func CloseBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// readResponse reads the head of a response after any interim responses. A protocol
// switch is an error for a request that does not ask for one (RFC 9110 §15.2.2).
func (c *connection) readResponse(req *http.Request, upgrade bool) (*http.Response, error) {
	c.left, c.responded = maxHead, false
	defer func() { c.left = math.MaxInt64 }()
	for {
		resp, err := http.ReadResponse(c.r, req)
		switch {
		case err != nil, resp.StatusCode >= http.StatusOK:
			return resp, err
		case resp.StatusCode == http.StatusSwitchingProtocols && upgrade:
			return resp, nil
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errSwitched
		}
	}
}
