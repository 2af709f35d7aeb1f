package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// writeHead writes the head of a request. For an agent, the last fields are the ID
// of the request, its number and its hop count.
func (c *connection) writeHead(req *http.Request, id uint64, agent bool) error {
	uri := req.URL.RequestURI()
	if req.Method == http.MethodConnect || !httpguts.ValidHeaderFieldName(req.Method) { // a method has the grammar of a field name
		return lateen.ErrInvalid.With("the request's method is malformed")
	}
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f }) || !httpguts.ValidHostHeader(req.Host) {
		return lateen.ErrInvalid.With("the request's URL is malformed")
	}
	uri = escapeNonASCII(uri)
	out := append(c.out[:0], req.Method...)
	out = append(append(append(out, ' '), uri...), " HTTP/1.1\r\n"...)
	out = appendField(out, "Host", req.Host)
	upgrade := upgrades(req)
	for name, values := range req.Header {
		if ownHeader(name) || !httpguts.ValidHeaderFieldName(name) || strings.EqualFold(name, "Upgrade") && !upgrade {
			continue
		}
		for _, value := range values {
			absent := value == "" && name == "User-Agent" // the convention of net/http to omit the field
			if httpguts.ValidHeaderFieldValue(value) && !absent {
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
		if names := trailerNames(req); len(names) > 0 {
			out = appendField(out, "Trailer", strings.Join(names, ", "))
		}
	case req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch:
		out = appendField(out, "Content-Length", "0")
	}
	if operation := req.Header.Get(guest.HeaderOperation); operation != "" && id == 0 { // a request of the platform: requests of clients have numbers
		out = appendField(out, guest.HeaderOperation, operation)
	}
	if agent {
		out = appendField(out, guest.HeaderInvocation, string(lateen.RequestIDFrom(req.Context())))
		out = appendField(out, guest.HeaderRequest, strconv.FormatUint(id, 10))
		if hops := req.Header[hopsKey]; len(hops) > 0 { // set by the edge, which removes a client's own
			out = appendField(out, guest.HeaderHops, hops[0])
		}
	}
	c.out = append(out, "\r\n"...)
	if _, err := c.Write(c.out); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return nil
}

// upgrades reports whether a request is sent as a protocol upgrade. It must ask for
// one, and have no body, because the process might see the end of the body at
// another byte. Only GET may upgrade (RFC 6455 §4.1).
func upgrades(req *http.Request) bool {
	return req.Method == http.MethodGet && !HasBody(req) && httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade")
}

// escapeNonASCII escapes non-ASCII bytes, which some clients send and which parsers
// reject.
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

// ownHeader reports whether a header of a request belongs to the connection on which
// it arrived, or is reserved for the agent.
func ownHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding":
		return true
	}
	return len(name) >= len(guest.HeaderPrefix) && strings.EqualFold(name[:len(guest.HeaderPrefix)], guest.HeaderPrefix)
}

// trailerNames returns the permitted names that a request announces for its trailer
// section. Other trailer fields are not sent: the router has not checked them.
func trailerNames(req *http.Request) []string {
	var names []string
	if HasBody(req) && req.ContentLength < 0 {
		for name := range req.Trailer {
			if !ownHeader(name) && httpguts.ValidHeaderFieldName(name) && httpguts.ValidTrailerHeader(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// writeBody sends the body of a request, each piece as soon as it arrives, and then
// the trailer fields with the given names. The error is a failure to read the body,
// unless hungUp is true.
func (c *connection) writeBody(req *http.Request, trailers []string) (hungUp bool, err error) {
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
			c.out = append(c.out[:0], "0\r\n"...)
			for _, name := range trailers {
				for _, value := range req.Trailer[name] {
					if httpguts.ValidHeaderFieldValue(value) {
						c.out = appendField(c.out, name, value)
					}
				}
			}
			_, err := c.Write(append(c.out, "\r\n"...))
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
