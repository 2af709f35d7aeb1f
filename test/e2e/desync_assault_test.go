//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// assault is the bytes that an attacker writes to a connection: requests whose end
// is seen elsewhere by a server that is not as strict as RFC 9112.
type assault struct {
	parts [][]byte // written one after the other
	pause time.Duration
	limit time.Duration // for answers
	abort bool          // closes the connection behind the last part
}

// String describes the assault for a failure message.
func (a *assault) String() string {
	texts := make([]string, len(a.parts))
	for i, part := range a.parts {
		texts[i] = fmt.Sprintf("%q", part)
	}
	return strings.Join(texts, " + ")
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// chance is true one time in n.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func newAssault(r *rand.Rand, host, path string) *assault {
	var wire strings.Builder
	for range pick(r, 1, 1, 1, 2, 3) {
		request(r, &wire, host, path)
	}
	a := &assault{
		pause: pick(r, 0, 0, time.Millisecond, 10*time.Millisecond, 60*time.Millisecond),
		limit: pick(r, 5, 20, 100*time.Millisecond, 300*time.Millisecond),
		abort: chance(r, 4),
	}
	text := wire.String()
	head := strings.Index(text, "\r\n\r\n") + 4
	switch r.IntN(4) {
	case 0: // the body comes later
		a.parts = [][]byte{[]byte(text[:head]), []byte(text[head:])}
	case 1:
		cut := r.IntN(len(text))
		a.parts = [][]byte{[]byte(text[:cut]), []byte(text[cut:])}
	case 2:
		for len(text) > 0 && len(a.parts) < 8 {
			n := min(len(text), 1+r.IntN(40))
			a.parts = append(a.parts, []byte(text[:n]))
			text = text[n:]
		}
		a.parts = append(a.parts, []byte(text))
	default:
		a.parts = [][]byte{[]byte(text)}
	}
	return a
}

// request writes a request of any kind.
func request(r *rand.Rand, wire *strings.Builder, host, path string) {
	method := pick(r, "GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "QUERY", "get")
	target := path + pick(r, "", "?x", "?x=%0d%0a%20", "/../"+path, "%2f", "?\xc3\xbc", "#f")
	fmt.Fprintf(wire, "%s %s %s\r\nHost: %s\r\nX-Token: evil\r\n", method, target, pick(r, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"), host)
	if chance(r, 2) {
		fmt.Fprintf(wire, "X-Mode: %s\r\n", pick(r, "unread", "parts", "empty", "unchanged", "hints", "keep"))
	}
	for range r.IntN(4) {
		wire.WriteString(field(r) + "\r\n")
	}
	body := payload(r, host, path)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunks := fmt.Sprintf("%x%s\r\n%s\r\n0\r\n%s\r\n", len(body), pick(r, "", "", ";x=y", ";\"\t"), body, pick(r, "", "", "X-Trailer: t\r\n", "X-Trailer: GET / HTTP/1.1\r\nX-Other: 0\r\n", "Content-Length: 3\r\n"))
	if len(body) == 0 {
		chunks = "0\r\n\r\n"
	}
	switch r.IntN(12) {
	case 0: // no field gives the length
		wire.WriteString("\r\n" + body)
	case 1: // shorter than it is
		fmt.Fprintf(wire, "Content-Length: %d\r\n\r\n%s", len(body)/2, body)
	case 2: // longer
		fmt.Fprintf(wire, "Content-Length: %d\r\n\r\n%s", len(body)+10, body)
	case 3:
		wire.WriteString(length + "Transfer-Encoding: chunked\r\n\r\n" + chunks)
	case 4:
		fmt.Fprintf(wire, "%s\r\n\r\n%s", pick(r, "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked, identity",
			"Transfer-Encoding:\tchunked", "Transfer-Encoding: gzip, chunked", "Transfer_Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked"), chunks)
	case 5:
		fmt.Fprintf(wire, "%s\r\n\r\n%s", pick(r, "Content-Length: +3", "Content-Length: 3\r\nContent-Length: 4", "Content-Length: 0x3", "Content-Length: 3, 3",
			"Content-Length : 3", "Content_Length: 3", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: -1", "Content-Length:\r\n 3"), body)
	case 6, 7:
		wire.WriteString("Transfer-Encoding: chunked\r\n" + pick(r, "", "Trailer: X-Trailer\r\n", "Trailer: X-Trailer, Content-Length\r\n") + "\r\n" + chunks)
	default:
		wire.WriteString(length + "\r\n" + body)
	}
}

// field is a header field that changes how messages are delimited somewhere.
func field(r *rand.Rand) string {
	return pick(r,
		"Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
		"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Connection: close", "Connection: keep-alive", "Connection: content-length",
		"Connection: transfer-encoding", "Connection: x-token, x-forwarded-for", "Keep-Alive: timeout=1", "Proxy-Connection: keep-alive", "Expect: 100-continue", "Expect: 200-ok",
		"TE: trailers, chunked", "Trailer: X-Trailer", "X-HTTP-Method-Override: HEAD", "X-Vercel-Internal-Request-Id: 1", "x-vercel-internal-hops: x", "X-Vercel-Internal-Failure: failed",
		"X-Forwarded-For: 192.0.2.1", "Range: bytes=0-1", "If-None-Match: *", "Accept-Encoding: gzip", "X-Pad: "+strings.Repeat("p", r.IntN(8000)), "Cookie: "+strings.Repeat("c=d; ", r.IntN(500)),
		"Content-Encoding: gzip", "Sec-WebSocket-Key: x", strings.TrimSuffix(strings.Repeat("X-Many: 1\r\n", 1+r.IntN(900)), "\r\n"),
	)
}

// payload is a body that is a message itself where its beginning is missed.
func payload(r *rand.Rand, host, path string) string {
	smuggled := fmt.Sprintf("%s %s?smuggled HTTP/1.1\r\nHost: %s\r\nX-Token: smuggled\r\n\r\n", pick(r, "GET", "POST", "HEAD"), path, host)
	return pick(r,
		"", "x", smuggled, smuggled, smuggled+smuggled, "\r\n"+smuggled, "0\r\n\r\n"+smuggled, "5\r\nhello\r\n0\r\n\r\n"+smuggled,
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Token: forged\r\n\r\nforged",
		strings.Repeat(smuggled, 1+r.IntN(300)),
		strings.Repeat("\x00\xff", r.IntN(5000)),
	)
}
