package edge

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// semantics is one row of [TestRequestsAreHandledAsTheHTTPSpecificationsRequire]: a request as bytes, and the request that the
// function receives or the status of the edge's own response.
type semantics struct {
	name   string
	source string // specification of the behaviour
	send   string // request bytes; "\n" stands for CR LF, HOST for the Host field of the site
	// status is the status of the response; 0 is the function's 200.
	status int
	// sees are lines of the request that the function receives: its request line,
	// "Name: value", or "-Name" for a field that it must not receive.
	sees []string
	body string // body that the function receives
	ends bool   // whether the connection ends after the response
}

const get = "GET /fn HTTP/1.1\nHOST\n"

var semanticsRows = []semantics{
	// Hop-by-hop fields.
	{
		name: "hop-by-hop fields end here", source: "RFC 9110 §7.6.1", send: get + "Keep-Alive: timeout=5\nProxy-Connection: x\nProxy-Authorization: x\nTE: gzip\nUpgrade: h2c\n\n",
		sees: []string{"-Keep-Alive", "-Proxy-Connection", "-Proxy-Authorization", "-Te", "-Upgrade", "-Connection"},
	},
	{
		name: "nominated fields end here", source: "RFC 9110 §7.6.1", send: get + "Connection: keep-alive, X-One,x-two\nConnection: cookie\nX-One: 1\nX-Two: 2\nX-Three: 3\nCookie: a=b\n\n",
		sees: []string{"-X-One", "-X-Two", "-Cookie", "X-Three: 3"},
	},
	{name: "nominated fields of the platform stay", source: "RFC 9110 §7.6.1", send: get + "Connection: x-forwarded-for, x-matched-path, x-vercel-id\n\n", sees: []string{"X-Forwarded-For: 127.0.0.1", "X-Matched-Path: /fn"}},
	{name: "a client that closes", source: "RFC 9112 §9.6", send: get + "Connection: close\n\n", ends: true},
	{name: "trailers are accepted", source: "RFC 9110 §10.1.4", send: get + "TE: trailers\nConnection: TE\n\n", sees: []string{"Te: trailers"}},

	// Host.
	{name: "without Host", source: "RFC 9112 §3.2", send: "GET /fn HTTP/1.1\n\n", status: 400, ends: true},
	{name: "two Hosts", source: "RFC 9112 §3.2", send: get + "Host: app.localhost\n\n", status: 400, ends: true},
	{name: "an empty Host", source: "RFC 9110 §4.2.1", send: "GET /fn HTTP/1.1\nHost: \n\n", status: 400},
	{name: "a port out of range", source: "RFC 9110 §4.2.1, TCP ports have 16 bits", send: "GET /fn HTTP/1.1\nHost: app.localhost:99999\n\n", status: 400},
	{name: "a port with a sign", source: "RFC 3986 §3.2.3", send: "GET /fn HTTP/1.1\nHost: app.localhost:+80\n\n", status: 400},
	{name: "an empty port", source: "RFC 3986 §3.2.3", send: "GET /fn HTTP/1.1\nHost: app.localhost:\n\n", sees: []string{"X-Forwarded-Port: 80"}},
	{name: "a port", source: "platform.md 1.7", send: "GET /fn HTTP/1.1\nHost: app.localhost:8443\n\n", sees: []string{"Host: app.localhost:8443", "X-Forwarded-Host: app.localhost:8443", "X-Forwarded-Port: 8443"}},
	{name: "user information in Host", source: "RFC 9110 §4.2.4", send: "GET /fn HTTP/1.1\nHost: user@app.localhost\n\n", status: 400, ends: true},
	{name: "user information and a port", source: "RFC 9110 §4.2.4", send: "GET /fn HTTP/1.1\nHost: app.localhost:80@evil.example\n\n", status: 400, ends: true},
	{name: "a path in Host", source: "RFC 9110 §7.2", send: "GET /fn HTTP/1.1\nHost: app.localhost/x\n\n", status: 400, ends: true},
	{name: "two colons", source: "RFC 3986 §3.2.2", send: "GET /fn HTTP/1.1\nHost: app.localhost:80:80\n\n", status: 400},
	{name: "another case and a final dot", source: "RFC 9110 §4.2.3", send: "GET /fn HTTP/1.1\nHost: APP.localhost.\n\n"},
	{name: "an unknown host", source: "platform.md 1.2", send: "GET /fn HTTP/1.1\nHost: other.localhost\n\n", status: 404},
	{name: "an absolute target wins over Host", source: "RFC 9112 §3.2.2", send: "GET http://app.localhost/fn?a HTTP/1.1\nHost: other.localhost\n\n", sees: []string{"GET /fn?a HTTP/1.1", "Host: app.localhost"}},
	{name: "user information in an absolute target", source: "RFC 9110 §4.2.4", send: "GET http://u:p@app.localhost/fn HTTP/1.1\nHost: app.localhost\n\n", status: 400},
	{name: "a target of another scheme", source: "RFC 9110 §4.2", send: "GET ftp://app.localhost/fn HTTP/1.1\nHost: app.localhost\n\n", status: 400},

	// Paths.
	{name: "a query is passed on as it is", source: "platform.md 1.2", send: "GET /fn?a&a=&b=%zz&c=+%20/? HTTP/1.1\nHOST\n\n", sees: []string{"GET /fn?a&a=&b=%zz&c=+%20/? HTTP/1.1"}},
	{name: "an encoded letter", source: "RFC 3986 §6.2.2.2", send: "GET /%66n HTTP/1.1\nHOST\n\n", sees: []string{"GET /%66n HTTP/1.1"}},
	{name: "dot segments", source: "RFC 3986 §5.2.4", send: "GET /guarded/../fn HTTP/1.1\nHOST\n\n", sees: []string{"GET /fn HTTP/1.1"}},
	{name: "dot segments lead to the guard", source: "RFC 3986 §5.2.4", send: "GET /fn/../guarded/x HTTP/1.1\nHOST\n\n", status: 403},
	{name: "encoded dot segments", source: "RFC 3986 §6.2.2.3", send: "GET /guarded/%2E%2e/fn HTTP/1.1\nHOST\n\n", sees: []string{"GET /fn HTTP/1.1"}},
	{name: "encoded dot segments lead to the guard", source: "RFC 3986 §6.2.2.3", send: "GET /fn/.%2e/guarded/x HTTP/1.1\nHOST\n\n", status: 403},
	{name: "dot segments above the root", source: "RFC 3986 §5.4.2", send: "GET /../../../fn HTTP/1.1\nHOST\n\n", sees: []string{"GET /fn HTTP/1.1"}},
	{name: "double slashes of a GET", source: "platform.md 1.2", send: "GET //fn HTTP/1.1\nHOST\n\n", status: 308},
	{name: "double slashes of a POST", source: "platform.md 1.2", send: "POST //fn HTTP/1.1\nHOST\nContent-Length: 0\n\n", sees: []string{"POST /fn HTTP/1.1"}},
	{name: "double slashes lead to the guard", source: "platform.md 1.2", send: "POST //guarded//x HTTP/1.1\nHOST\nContent-Length: 0\n\n", status: 403},
	{name: "a backslash is no separator", source: "RFC 3986 §2", send: "GET /any/a\\..\\b HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/a%5C..%5Cb HTTP/1.1"}},
	{name: "an encoded slash is no separator", source: "RFC 3986 §2.2", send: "GET /any/a%2Fb HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/a%2Fb HTTP/1.1"}},
	{name: "an encoded slash beside what is no part of a path", source: "RFC 3986 §2.2 and §3.3", send: "GET /any/%7C%2F..%2F..%2Fguarded%2Fx HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/%7C%2F..%2F..%2Fguarded%2Fx HTTP/1.1"}},
	{name: "an encoded NUL", source: "RFC 3986 §2.1", send: "GET /any/%00 HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/%00 HTTP/1.1"}},
	{name: "an encoded percent sign", source: "RFC 3986 §2.4", send: "GET /any/%252e%252e/x HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/%252e%252e/x HTTP/1.1"}},
	{name: "a broken escape", source: "RFC 3986 §2.1", send: "GET /any/%zz HTTP/1.1\nHOST\n\n", status: 400, ends: true},
	{name: "an escape that is no UTF-8", source: "RFC 3986 §2.1", send: "GET /any/%ff HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/%ff HTTP/1.1"}},
	{name: "bytes beyond ASCII", source: "RFC 3986 §2.1", send: "GET /any/\xc3\xa9 HTTP/1.1\nHOST\n\n", sees: []string{"GET /any/%C3%A9 HTTP/1.1"}},
	{name: "a control character", source: "RFC 3986 §2.2", send: "GET /any/\x01 HTTP/1.1\nHOST\n\n", status: 400, ends: true},
	{name: "a target without a slash", source: "RFC 9112 §3.2.1", send: "GET fn HTTP/1.1\nHOST\n\n", status: 400, ends: true},
	{name: "a case of its own", source: "platform.md 1.2, src ignores case", send: "GET /GUARDED/x HTTP/1.1\nHOST\n\n", status: 403},

	// Framing.
	{name: "a body", source: "RFC 9112 §6.2", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 5\n\nhello", sees: []string{"Content-Length: 5"}, body: "hello"},
	{name: "the same length twice", source: "RFC 9110 §8.6", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 5\nContent-Length: 5\n\nhello", sees: []string{"Content-Length: 5"}, body: "hello"},
	{name: "two lengths", source: "RFC 9112 §6.3", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 5\nContent-Length: 6\n\nhello", status: 400, ends: true},
	{name: "a list of lengths", source: "RFC 9112 §6.3", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 5, 5\n\nhello", status: 400, ends: true},
	{name: "a length with a sign", source: "RFC 9110 §8.6", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: +5\n\nhello", status: 400, ends: true},
	{name: "a negative length", source: "RFC 9110 §8.6", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: -5\n\nhello", status: 400, ends: true},
	{name: "a hexadecimal length", source: "RFC 9110 §8.6", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 0x5\n\nhello", status: 400, ends: true},
	{name: "a length of 21 digits", source: "RFC 9110 §8.6", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 999999999999999999999\n\n", status: 400, ends: true},
	{name: "a length beyond the limit", source: "RFC 9110 §15.5.14", send: "POST /fn HTTP/1.1\nHOST\nExpect: 100-continue\nContent-Length: 9999999999\n\n", status: 413, ends: true},
	{name: "a body of a GET", source: "RFC 9110 §9.3.1", send: "GET /fn HTTP/1.1\nHOST\nContent-Length: 5\n\nhello", sees: []string{"Content-Length: 5"}, body: "hello"},
	{name: "chunks", source: "RFC 9112 §7.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: chunked\n\n5;x=y\nhello\n0\n\n", sees: []string{"Transfer-Encoding: chunked", "-Content-Length"}, body: "hello", ends: true},
	{name: "chunks and a length", source: "RFC 9112 §6.3", send: "POST /fn HTTP/1.1\nHOST\nContent-Length: 3\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", sees: []string{"Transfer-Encoding: chunked", "-Content-Length"}, body: "hello", ends: true},
	{name: "chunked, identity", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: chunked, identity\n\n0\n\n", status: 501, ends: true},
	{name: "identity", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: identity\nContent-Length: 5\n\nhello", status: 501, ends: true},
	{name: "two Transfer-Encodings", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n", status: 501, ends: true},
	{name: "xchunked", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: xchunked\n\n0\n\n", status: 501, ends: true},
	{name: "chunked with a tab", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: \tchunked\n\n5\nhello\n0\n\n", body: "hello", ends: true},
	{name: "chunked with a vertical tab", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: \x0bchunked\n\n0\n\n", status: 400, ends: true},
	{name: "a chunk size that is none", source: "RFC 9112 §7.1", send: "POST /fn HTTP/1.1\nHOST\nTransfer-Encoding: chunked\n\nzz\nhello\n0\n\n", status: 400, ends: true},
	{name: "Transfer-Encoding in HTTP/1.0", source: "RFC 9112 §6.1", send: "POST /fn HTTP/1.0\nHOST\nConnection: keep-alive\nTransfer-Encoding: chunked\nContent-Length: 0\n\n", ends: true},
	{name: "HTTP/1.0", source: "RFC 9112 §9.3", send: "GET /fn HTTP/1.0\nHOST\n\n", sees: []string{"GET /fn HTTP/1.1"}, ends: true},

	// Fields.
	{name: "a folded field", source: "RFC 9112 §5.2", send: get + "X-Folded: a\n b\n\n", sees: []string{"X-Folded: a b"}},
	{name: "a folded first field", source: "RFC 9112 §2.2", send: "GET /fn HTTP/1.1\n X-Folded: a\nHOST\n\n", status: 400, ends: true},
	{name: "a bare LF ends a line", source: "RFC 9112 §2.2", send: get + "X-A: 1BARE\x00X-B: 2\n\n", sees: []string{"X-A: 1", "X-B: 2"}},
	{name: "a bare CR in a value", source: "RFC 9112 §2.2", send: get + "X-A: 1\rX-B: 2\n\n", status: 400, ends: true},
	{name: "a NUL in a value", source: "RFC 9110 §5.5", send: get + "X-A: 1\x002\n\n", status: 400, ends: true},
	{name: "a space before the colon", source: "RFC 9112 §5.1", send: get + "X-A : 1\n\n", status: 400, ends: true},
	{name: "a space in a name", source: "RFC 9110 §5.1", send: get + "X A: 1\n\n", status: 400, ends: true},
	{name: "an empty name", source: "RFC 9110 §5.1", send: get + ": 1\n\n", status: 400, ends: true},
	{name: "an empty value", source: "RFC 9110 §5.5", send: get + "X-A:\n\n", sees: []string{"X-A: "}},
	{name: "a value beyond ASCII", source: "RFC 9110 §5.5", send: get + "X-A: \xff\xc3\xa9\n\n", sees: []string{"X-A: \xff\xc3\xa9"}},
	{name: "several values stay in order", source: "RFC 9110 §5.3", send: get + "X-A: 1\nX-A: 2, 3\n\n", sees: []string{"X-A: 1 | 2, 3"}},
	{name: "an expectation", source: "RFC 9110 §10.1.1", send: "POST /fn HTTP/1.1\nHOST\nExpect: 100-continue\nContent-Length: 5\n\nhello", sees: []string{"-Expect"}, body: "hello"},
	{name: "another expectation", source: "RFC 9110 §10.1.1", send: get + "Expect: tea\n\n", status: 417, ends: true},
	{
		name: "conditions go to the function", source: "RFC 9110 §13.1", send: get + "If-None-Match: \"a\"\nIf-Modified-Since: x\nRange: bytes=0-1\nIf-Range: \"a\"\n\n",
		sees: []string{`If-None-Match: "a"`, "If-Modified-Since: x", "Range: bytes=0-1", `If-Range: "a"`},
	},

	// Fields of the platform.
	{
		name: "forwarded fields are the platform's", source: "platform.md 1.7", send: get + "X-Forwarded-For: 6.6.6.6\nX-Forwarded-Host: evil\nX-Forwarded-Proto: https\nX-Forwarded-Port: 1\nForwarded: for=6.6.6.6\nX-Real-IP: 6.6.6.6\nX-Forwarded-Server: evil\n\n",
		sees: []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: app.localhost", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80", `Forwarded: for=127.0.0.1;host="app.localhost";proto=http`, "X-Real-Ip: 127.0.0.1", "-X-Forwarded-Server"},
	},
	{
		name: "with underscores as well", source: "RFC 3875 §4.1.18 maps both to one name", send: get + "X_Forwarded_For: 6.6.6.6\nx_real_ip: 6.6.6.6\nX_Vercel-Internal_Hops: 7\nX_Own: 1\n\n",
		sees: []string{"-X_forwarded_for", "-X_real_ip", "-X_vercel-Internal_hops", "X_own: 1"},
	},
	{
		name: "internal fields", source: "platform.md 1.7", send: get + "X-Vercel-Internal-Invocation-Id: 1\nX-Vercel-SC-Host: evil\nX-Vercel-IP-Country: XX\nX-Vercel-OIDC-Token: x\nX-Matched-Path: /other\nX-Now-Route-Matches: 1=2\nX-Middleware-Subrequest: x\nX-Invoke-Path: /\nX-Lateen-Hops: 7.x\nNext-Resume: 1\n\n",
		sees: []string{"-X-Vercel-Internal-Invocation-Id", "-X-Vercel-Sc-Host", "-X-Vercel-Ip-Country", "-X-Vercel-Oidc-Token", "X-Matched-Path: /fn", "-X-Now-Route-Matches", "-X-Middleware-Subrequest", "-X-Invoke-Path", "-X-Lateen-Hops", "-Next-Resume"},
	},

	// Methods.
	{name: "an unknown method", source: "RFC 9110 §9.1", send: "BREW /fn HTTP/1.1\nHOST\n\n", sees: []string{"BREW /fn HTTP/1.1"}},
	{name: "a method in lower case", source: "RFC 9110 §9.1", send: "get /fn HTTP/1.1\nHOST\n\n", sees: []string{"get /fn HTTP/1.1"}},
	{name: "a method that is no token", source: "RFC 9110 §9.1", send: "G(T /fn HTTP/1.1\nHOST\n\n", status: 400, ends: true},
	{name: "TRACE", source: "RFC 9110 §9.3.8", send: "TRACE /fn HTTP/1.1\nHOST\n\n", status: 405},
	{name: "CONNECT", source: "RFC 9110 §9.3.6", send: "CONNECT app.localhost:80 HTTP/1.1\nHost: app.localhost:80\n\n", status: 405},
	{name: "OPTIONS of the server", source: "RFC 9110 §9.3.7", send: "OPTIONS * HTTP/1.1\nHOST\n\n", status: 200},
	{name: "OPTIONS of the server, with chunks and a length", source: "RFC 9112 §6.3", send: "OPTIONS * HTTP/1.1\nHOST\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", status: 200, ends: true},
	{name: "OPTIONS of the server, with Transfer-Encoding in HTTP/1.0", source: "RFC 9112 §6.1", send: "OPTIONS * HTTP/1.0\nHOST\nConnection: keep-alive\nTransfer-Encoding: chunked\nContent-Length: 0\n\n", status: 200, ends: true},
	{name: "the target of OPTIONS in a GET", source: "RFC 9112 §3.2.4", send: "GET * HTTP/1.1\nHOST\n\n", status: 400},
	{name: "OPTIONS of a function", source: "RFC 9110 §9.3.7", send: "OPTIONS /fn HTTP/1.1\nHOST\n\n", sees: []string{"OPTIONS /fn HTTP/1.1"}},
	{name: "a version to come", source: "RFC 9110 §2.5", send: "GET /fn HTTP/3.0\nHOST\n\n", status: 505, ends: true},
}

// semanticsStage returns a stage with a function at /fn and below /any, and a route that
// refuses /guarded.
func semanticsStage(t *testing.T, seen chan<- received) *stage {
	t.Helper()
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client's request was truncated
		}
		seen <- received{r, string(body)}
		w.Header().Set("X-Fn", "1")
	})
	s.manifest.Routes = []lateen.Route{
		{Src: "^/guarded(/.*)?$", Status: 403},
		{Handle: "filesystem"},
		{Src: "^/any/.*$", Dest: "/fn", Check: true},
	}
	return s.open()
}

type received struct {
	*http.Request

	body string
}

// line returns the value of the request line or field name in a row's "sees".
func (r *received) line(name string) (string, bool) {
	switch name {
	case "Host":
		return r.Host, true
	case "Transfer-Encoding":
		return strings.Join(r.TransferEncoding, ", "), true
	}
	values, ok := r.Header[name]
	return strings.Join(values, " | "), ok
}

// TestRequestsAreHandledAsTheHTTPSpecificationsRequire sends requests as bytes to a real listener and compares the result of
// each with its specification.
func TestRequestsAreHandledAsTheHTTPSpecificationsRequire(t *testing.T) {
	seen := make(chan received, 1)
	s := semanticsStage(t, seen)
	for _, row := range semanticsRows {
		t.Run(row.name, func(t *testing.T) {
			resp := s.exchangeRaw(t, row)
			var got *received
			select {
			case r := <-seen:
				got = &r
			default:
			}
			want := row.status
			if want == 0 {
				want = 200
			}
			if resp.StatusCode != want || (row.status == 0) != (got != nil && resp.Header.Get("X-Fn") == "1") {
				t.Fatalf("%s: got %d %v, want %d; the function was called: %v", row.source, resp.StatusCode, resp.Header, row.status, got != nil)
			}
			if got == nil {
				return
			}
			if got.body != row.body {
				t.Errorf("%s: the function got the body %q, want %q", row.source, got.body, row.body)
			}
			for _, line := range row.sees {
				checkSeen(t, row.source, got, line)
			}
		})
	}
}

func checkSeen(t *testing.T, source string, got *received, line string) {
	t.Helper()
	if name, absent := strings.CutPrefix(line, "-"); absent {
		if value, there := got.line(name); there {
			t.Errorf("%s: the function got %s: %q", source, name, value)
		}
		return
	}
	if name, want, ok := strings.Cut(line, ": "); ok {
		if value, there := got.line(name); !there || value != want {
			t.Errorf("%s: the function got %s: %q (%v), want %q", source, name, value, there, want)
		}
		return
	}
	if request := fmt.Sprintf("%s %s %s", got.Method, got.RequestURI, got.Proto); request != line {
		t.Errorf("%s: the function got %q, want %q", source, request, line)
	}
}

// exchangeRaw sends a row's request, checks whether the connection stays open and
// returns the final response.
func (s *stage) exchangeRaw(t *testing.T, row semantics) *http.Response {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(waitLimit))
	text := strings.NewReplacer("\n", "\r\n", "HOST", "Host: app.localhost", "BARE\x00", "\n").Replace(row.send)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(row.send, " ")
	r := bufio.NewReader(c)
	resp := readFinal(t, r, method)
	_, _ = io.Copy(io.Discard, resp.Body)
	// A second request shows whether the connection stays open.
	_, _ = io.WriteString(c, "GET /none HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
	after, err := http.ReadResponse(r, nil)
	if row.ends != (err != nil) {
		t.Errorf("%s: the connection ends: %v, want %v", row.source, err, row.ends)
	}
	if err == nil && after.StatusCode != 404 {
		t.Errorf("%s: the second request got %d", row.source, after.StatusCode)
	}
	return resp
}

// readFinal reads the final response and skips interim ones.
func readFinal(t *testing.T, r *bufio.Reader, method string) *http.Response {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode >= 200 {
			return resp
		}
	}
}

// TestResponseSemantics covers special responses of a function.
func TestResponseSemantics(t *testing.T) {
	for name, row := range map[string]struct {
		source, method string
		answer         http.HandlerFunc
		want           string
	}{
		"HEAD has no body": {"RFC 9110 §9.3.2", "HEAD", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") }, "200 Content-Length: 5"},
		"204 has neither":  {"RFC 9110 §8.6", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "204 "},
		"304 has no body":  {"RFC 9110 §15.4.5", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"a"`); w.WriteHeader(304) }, "304 "},
		"interim responses end here": {"RFC 9110 §15.2 allows to drop them", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.Header().Set("Content-Length", "2")
			io.WriteString(w, "ok")
		}, "200 Content-Length: 2 ok"},
		"hop-by-hop fields end here": {"RFC 9110 §7.6.1", "GET", func(w http.ResponseWriter, _ *http.Request) {
			for key, value := range map[string]string{"Connection": "x-a", "X-A": "1", "Keep-Alive": "x", "Proxy-Authenticate": "Basic", "Upgrade": "h2c", "Content-Length": "2"} {
				w.Header().Set(key, value)
			}
			io.WriteString(w, "ok")
		}, "200 Content-Length: 2 ok"},
	} {
		t.Run(name, func(t *testing.T) {
			s := functionStage(t, row.answer).open()
			for version, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
				resp, body := s.send(client, s.request(row.method, "/fn", nil))
				got := fmt.Sprint(resp.StatusCode, " ")
				for _, key := range slices.Sorted(maps.Keys(resp.Header)) {
					switch key {
					case "Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Transfer-Encoding", "Upgrade", "X-A":
						got += key + ": " + resp.Header.Get(key)
					}
				}
				if body != "" {
					got += " " + body
				}
				if got != row.want {
					t.Errorf("%s, %s: got %q, want %q", row.source, version, got, row.want)
				}
			}
		})
	}
}
