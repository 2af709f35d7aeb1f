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
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	maxIdle = 64      // connections that wait for a request
	maxHead = 1 << 20 // bytes of the head of a response

	hopsKey = "X-Vercel-Internal-Hops" // guest.HeaderHops in a header
)

var (
	// ErrUnsent says that nothing of a request was sent that could be acted on.
	ErrUnsent = errors.New("the request could not be sent")
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

	r    *bufio.Reader // of the connection itself
	out  []byte        // what is put together to be written at once
	left int64         // bytes that may be read
}

// Read reads as much as may be read.
func (c *connection) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHead
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// drop closes the connection, of which nothing more is wanted.
func (c *connection) drop() { _ = c.Close() }

// take returns a connection: the one used last, which is warmest, or a new one.
func (u *Client) take(ctx context.Context) (*connection, error) {
	u.mu.Lock()
	if last := len(u.idle) - 1; last >= 0 {
		c := u.idle[last]
		u.idle = u.idle[:last]
		u.mu.Unlock()
		return c, nil
	}
	u.mu.Unlock()
	conn, err := u.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	c := &connection{Conn: conn}
	c.r = bufio.NewReader(c)
	return c, nil
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
	defer u.mu.Unlock()
	u.closed = true
	for _, c := range u.idle {
		c.drop()
	}
	u.idle = nil
}

// RoundTrip sends req as the process's request number id, 0 for one that is the
// platform's own. The response's body is a [Body], or an [io.ReadWriteCloser] for
// another protocol. Ending the context breaks the connection, as does a request's
// body that breaks off. Errors: [ErrUnsent], a [BodyError], [lateen.ErrInvalid]
// for what HTTP cannot say, anything else of the connection.
func (u *Client) RoundTrip(req *http.Request, id uint64) (*http.Response, error) {
	c, err := u.take(req.Context())
	if err != nil {
		CloseBody(req)
		return nil, err
	}
	x := &exchange{client: u, conn: c, id: id, sending: true, receiving: true}
	x.stop = context.AfterFunc(req.Context(), c.drop)
	if err := c.writeHead(req, id, u.Ended == nil); err != nil {
		CloseBody(req)
		x.end(&x.sending, broken)
		x.end(&x.receiving, broken)
		return nil, err
	}
	if HasBody(req) {
		go x.send(req) // ends with the body, or with the connection
	} else {
		CloseBody(req)
		x.end(&x.sending, clean)
	}
	resp, err := c.readResponse(req)
	if err != nil {
		x.end(&x.receiving, broken)
		if bodyErr := x.bodyError(); bodyErr != nil {
			return nil, fmt.Errorf("read the request's body: %w", &BodyError{bodyErr}) // the cause of it all
		}
		return nil, fmt.Errorf("read the response's head: %w", err)
	}
	return x.wrap(resp), nil
}

// exchange is a request and its response on a connection. Each half ends by
// itself; after both the connection is of further use if it is clean.
type exchange struct {
	client *Client
	conn   *connection
	id     uint64
	stop   func() bool // undoes the wait for the context's end

	mu                 sync.Mutex // guards below
	sending, receiving bool       // halves under way
	worst              outcome
	bodyErr            error // of reading the request's body
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

// send sends the body of a request as it comes.
func (x *exchange) send(req *http.Request) {
	defer CloseBody(req)
	hungUp, err := x.conn.writeBody(req)
	switch {
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
	resp.Header.Del("Connection")
	resp.Header.Del("Keep-Alive")
	body := &Body{ReadCloser: resp.Body, exchange: x, atEnd: clean}
	if resp.Close {
		body.atEnd = spoiled
	}
	if resp.Body == http.NoBody || resp.ContentLength == 0 {
		x.end(&x.receiving, body.atEnd)
	}
	resp.Body = body
	return resp
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

// readResponse reads a response's head, past interim ones.
func (c *connection) readResponse(req *http.Request) (*http.Response, error) {
	c.left = maxHead
	defer func() { c.left = math.MaxInt64 }()
	for {
		resp, err := http.ReadResponse(c.r, req)
		if err != nil || resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// writeHead writes a request's head, and last what is for the agent, if there
// is one: the number of the request, its id and how far it has come.
func (c *connection) writeHead(req *http.Request, id uint64, agent bool) error {
	uri := req.URL.RequestURI()
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f }) || !httpguts.ValidHostHeader(req.Host) {
		return lateen.ErrInvalid.With("the request's URL is malformed")
	}
	uri = escapeNonASCII(uri)
	out := append(c.out[:0], req.Method...)
	out = append(append(append(out, ' '), uri...), " HTTP/1.1\r\n"...)
	out = appendField(out, "Host", req.Host)
	upgrade := httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade")
	for name, values := range req.Header {
		if ownHeader(name) || !httpguts.ValidHeaderFieldName(name) || name == "Upgrade" && !upgrade {
			continue
		}
		for _, value := range values {
			if httpguts.ValidHeaderFieldValue(value) {
				out = appendField(out, name, value)
			}
		}
	}
	switch {
	case upgrade:
		out = appendField(out, "Connection", "Upgrade")
	case HasBody(req) && req.ContentLength > 0:
		out = appendField(out, "Content-Length", strconv.FormatInt(req.ContentLength, 10))
	case HasBody(req):
		out = appendField(out, "Transfer-Encoding", "chunked")
	case req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch:
		out = appendField(out, "Content-Length", "0")
	}
	if question := req.Header.Get(guest.HeaderQuestion); question != "" && id == 0 { // ours: a client's requests have numbers
		out = appendField(out, guest.HeaderQuestion, question)
	}
	if agent {
		out = appendField(out, guest.HeaderInvocation, string(lateen.RequestIDFrom(req.Context())))
		out = appendField(out, guest.HeaderRequest, strconv.FormatUint(id, 10))
		if hops := req.Header[hopsKey]; len(hops) > 0 { // the edge's: a client's was removed there
			out = appendField(out, guest.HeaderHops, hops[0])
		}
	}
	c.out = append(out, "\r\n"...)
	if _, err := c.Write(c.out); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return nil
}

// escapeNonASCII escapes what clients do send as it is, and parsers refuse.
func escapeNonASCII(uri string) string {
	if strings.IndexFunc(uri, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return uri
	}
	var out strings.Builder
	for _, c := range []byte(uri) {
		if c < utf8.RuneSelf {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}

func appendField(out []byte, name, value string) []byte {
	return append(append(append(append(out, name...), ": "...), value...), "\r\n"...)
}

// ownHeader reports whether a header of a request is about the connection it
// came on, or for nobody but the agent.
func ownHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding":
		return true
	}
	return len(name) >= len(guest.HeaderPrefix) && strings.EqualFold(name[:len(guest.HeaderPrefix)], guest.HeaderPrefix)
}

// writeBody sends a request's body, each piece as soon as it is there. An error
// is of reading the body, unless the process has hung up.
func (c *connection) writeBody(req *http.Request) (hungUp bool, err error) {
	buf := make([]byte, 32<<10)
	chunked := req.ContentLength < 0
	left := req.ContentLength
	for {
		n, readErr := req.Body.Read(buf)
		if !chunked {
			n = int(min(int64(n), left))
			left -= int64(n)
		}
		if n > 0 {
			if err := c.writePiece(buf[:n], chunked); err != nil {
				return true, err
			}
		}
		switch {
		case chunked && errors.Is(readErr, io.EOF):
			_, err := io.WriteString(c.Conn, "0\r\n\r\n") // no trailers
			return true, err
		case !chunked && left == 0:
			return false, nil
		case errors.Is(readErr, io.EOF):
			return false, io.ErrUnexpectedEOF
		case readErr != nil:
			return false, readErr
		}
	}
}

// writePiece writes a piece of a body.
func (c *connection) writePiece(p []byte, chunked bool) error {
	if !chunked {
		_, err := c.Write(p)
		return err
	}
	c.out = strconv.AppendInt(c.out[:0], int64(len(p)), 16)
	c.out = append(append(append(c.out, "\r\n"...), p...), "\r\n"...)
	_, err := c.Write(c.out)
	return err
}
