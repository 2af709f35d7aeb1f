// Package upstream speaks HTTP/1.1 to the processes that answer requests.
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
	maxIdle = 64      // connections that wait for a request
	maxHead = 1 << 20 // bytes of the head of a response

	hopsKey = "X-Vercel-Internal-Hops" // guest.HeaderHops in a header
)

var (
	// ErrUnsent says that nothing of a request was sent that could be acted on.
	ErrUnsent = errors.New("the request could not be sent")
	// errSwitched ends a connection whose process changes the protocol unasked.
	errSwitched = errors.New("the response switches to a protocol that the request does not ask for")
	// errHead ends a response whose head knows no bounds.
	errHead = errors.New("the head of the response is too long")
)

// Client is an HTTP/1.1 client of one process. Unlike [http.Transport] it
// sends nothing twice, adds no header, and runs no goroutine but the one that
// sends a body. Dial is required; its methods may be called concurrently.
type Client struct {
	Dial func(context.Context) (net.Conn, error)
	// Ended is told when each request has ended, by its number, where the process
	// says nothing of that, and whether its connection broke; the process is told
	// of no number then. nil: the process does.
	Ended func(id uint64, broke bool)
	// Foreign says that the server is a program of the user's, which may close
	// idle connections at any time and may delimit its messages badly. False: the
	// server is an agent of ours.
	Foreign bool

	mu     sync.Mutex // guards below
	idle   []*connection
	closed bool
}

// BodyError is the failure to read the body of a request, which ended it.
type BodyError struct{ error }

// Unwrap returns the failure itself.
func (e *BodyError) Unwrap() error { return e.error }

// connection is a connection that carries one request at a time.
type connection struct {
	net.Conn

	r     *bufio.Reader // of the connection itself
	out   []byte        // what is put together to be written at once
	left  int64         // bytes that may be read
	heard bool          // bytes have come since the head of the last request

	raw    syscall.RawConn    // nil: the connection has no descriptor to look at
	peek   func(uintptr) bool // for raw: sets silent
	silent bool               // the connection is open, and no byte is there to be read
}

// newConnection wraps a connection that has carried nothing yet.
func newConnection(conn net.Conn) *connection {
	c := &connection{Conn: conn}
	c.r = bufio.NewReader(c)
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // nil where that fails
	}
	var b [1]byte
	c.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a descriptor
		c.silent = errors.Is(err, syscall.EAGAIN)
		return true
	}
	return c
}

// reusable reports whether an idle connection can carry another request: it is
// open, and no byte has arrived since the last response. Such a byte belongs to
// no request and would be read as the start of the next response.
func (c *connection) reusable() bool {
	if c.raw == nil || c.r.Buffered() > 0 {
		return false
	}
	c.silent = false
	return c.raw.Read(c.peek) == nil && c.silent
}

// Read reads as much as may be read.
func (c *connection) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHead
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.heard = c.heard || n > 0
	return n, err
}

// drop closes the connection, of which nothing more is wanted.
func (c *connection) drop() { _ = c.Close() }

// take returns a connection and whether it has carried a request before: the
// one used last, which is warmest, or a new one. Idle connections that the
// process has closed, or on which it sent bytes unasked, are closed.
func (u *Client) take(ctx context.Context) (c *connection, reused bool, err error) {
	for c := u.pop(); c != nil; c = u.pop() {
		if c.reusable() {
			return c, true, nil
		}
		c.drop()
	}
	c, err = u.dial(ctx)
	return c, false, err
}

// pop removes the connection that was used last from the idle ones; nil: there
// is none.
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

// put takes back a connection that has nothing left on it: more than was asked
// for would be taken for the next answer.
func (u *Client) put(c *connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.idle) == maxIdle || c.r.Buffered() > 0 {
		c.drop()
		return
	}
	u.idle = append(u.idle, c)
}

// Close closes the idle connections; those in use end by themselves.
func (u *Client) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.CloseIdle()
}

// CloseIdle closes the idle connections. Later requests dial new ones.
func (u *Client) CloseIdle() {
	for c := u.pop(); c != nil; c = u.pop() {
		c.drop()
	}
}

// RoundTrip sends req as the process's request number id, 0 for one that is the
// platform's own. The response's body is a [Body], or an [io.ReadWriteCloser] for
// another protocol. Ending the context breaks the connection, as does a request's
// body that breaks off. Errors: [ErrUnsent], a [BodyError], [lateen.ErrInvalid]
// for what HTTP cannot say, anything else of the connection.
//
// A request of a [Client.Foreign] process whose reused connection ends before the
// first byte of a response is sent once more, on a new connection, where that can
// have no effect twice: see [exchange.repeatable].
func (u *Client) RoundTrip(req *http.Request, id uint64) (*http.Response, error) {
	c, reused, err := u.take(req.Context())
	if err != nil {
		CloseBody(req)
		return nil, err
	}
	x := u.begin(c, req, id)
	resp, err := x.trip(req)
	if err != nil && reused && u.Foreign && x.repeatable(req, err) {
		if again, dialErr := u.dial(req.Context()); dialErr == nil {
			x.stop()
			c.drop()
			x = u.begin(again, req, id)
			resp, err = x.trip(req)
		}
	}
	if err != nil {
		return nil, x.fail(req, err)
	}
	return x.wrap(resp), nil
}

func (u *Client) begin(c *connection, req *http.Request, id uint64) *exchange {
	x := &exchange{client: u, conn: c, id: id, sending: true, receiving: true, upgrade: upgrades(req)}
	x.stop = context.AfterFunc(req.Context(), c.drop)
	return x
}

// exchange is a request and its response on a connection. Each half ends by
// itself; after both the connection is of further use if it is clean.
type exchange struct {
	client *Client
	conn   *connection
	id     uint64
	stop   func() bool // undoes the wait for the context's end

	upgrade bool // the request asks for another protocol
	sent    bool // the head of the request was written

	mu                 sync.Mutex // guards below
	sending, receiving bool       // halves under way
	worst              outcome
	bodyErr            error // of reading the request's body
}

// trip sends the request and reads the head of the response.
func (x *exchange) trip(req *http.Request) (*http.Response, error) {
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

// repeatable reports, of a request that failed on a reused connection, whether
// it can be sent again: its head could not be written, or its method is
// idempotent (RFC 9110 §9.2.2), it has no body, and the connection ended before
// a byte of a response came (RFC 9112 §9.3.1).
func (x *exchange) repeatable(req *http.Request, err error) bool {
	if req.Context().Err() != nil {
		return false
	}
	if !x.sent {
		return errors.Is(err, ErrUnsent)
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return !HasBody(req) && !x.conn.heard
	}
	return false
}

// fail ends an exchange that has no response, and returns why that is.
func (x *exchange) fail(req *http.Request, err error) error {
	if !x.sent || !HasBody(req) { // nothing else reads the body
		CloseBody(req)
		x.end(&x.sending, broken)
	}
	x.end(&x.receiving, broken)
	if bodyErr := x.bodyError(); bodyErr != nil {
		return fmt.Errorf("read the request's body: %w", &BodyError{bodyErr}) // the cause of it all
	}
	return err
}

// outcome is how half of an exchange has ended.
type outcome int

const (
	clean   outcome = iota // nothing of it is left on the connection
	spoiled                // the other half may go on, but nothing after it
	broken                 // nothing may go on
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
		x.conn.drop()
	}
	if x.sending || x.receiving {
		return
	}
	if x.stop() && x.worst == clean {
		x.client.put(x.conn)
	} else {
		x.conn.drop()
	}
	if x.client.Ended != nil {
		x.client.Ended(x.id, x.worst == broken)
	}
}

// send sends the body of a request as it comes, and the trailer fields of these names.
func (x *exchange) send(req *http.Request, trailers []string) {
	defer CloseBody(req)
	hungUp, err := x.conn.writeBody(req, trailers)
	switch {
	case err == nil && len(trailers) > 0 && x.client.Foreign: // which may not know of them
		x.end(&x.sending, spoiled)
	case err == nil:
		x.end(&x.sending, clean)
	case hungUp: // it may have answered all the same
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

// wrap makes resp the caller's.
func (x *exchange) wrap(resp *http.Response) *http.Response {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &upgraded{x}
		return resp
	}
	body := &Body{ReadCloser: resp.Body, exchange: x, atEnd: clean}
	if resp.Close || x.doubtful(resp) {
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

// doubtful reports whether the process may take another view of where resp ends,
// so that the connection carries no other request: it was asked to change the
// protocol and has not, or it announces a body with a status that has none
// (RFC 9110 §6.4.1), or it is a program that answers HEAD, or one that may have left a
// request's body unread and take it for the next request.
func (x *exchange) doubtful(resp *http.Response) bool {
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

// Body is the body of a response; its end or its closing ends the exchange.
type Body struct {
	io.ReadCloser

	// Explain says why it broke off; nil: as the connection does.
	Explain func(error) error

	exchange *exchange
	atEnd    outcome // of the exchange, once all is read
}

// Read reads; an error other than io.EOF says that the response broke off.
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

// Close breaks off what has not been read.
func (b *Body) Close() error {
	b.exchange.end(&b.exchange.receiving, broken)
	return nil
}

// upgraded is a connection that speaks another protocol from now on.
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

// HasBody reports whether a request has a body to be sent.
func HasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody && req.ContentLength != 0
}

// CloseBody closes the body of a request, which nobody reads any more.
func CloseBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// readResponse reads a response's head, past interim ones. A change of protocol
// is no response to a request that does not ask for one (RFC 9110 §15.2.2).
func (c *connection) readResponse(req *http.Request, upgrade bool) (*http.Response, error) {
	c.left, c.heard = maxHead, false
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
