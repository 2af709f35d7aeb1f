package upstream

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trailerBody is a body with trailer fields at its end.
type trailerBody struct {
	io.Reader

	req    *http.Request
	fields http.Header
}

func (l *trailerBody) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if err == io.EOF {
		maps.Copy(l.req.Trailer, l.fields)
	}
	return n, err
}

// withTrailer returns a request that announces some trailer fields and sends further
// ones after its body.
func withTrailer(t *testing.T, announced []string, fields http.Header) *http.Request {
	t.Helper()
	req := newRequest(t, http.MethodPost, http.NoBody)
	req.ContentLength, req.Trailer = -1, http.Header{}
	for _, name := range announced {
		req.Trailer[name] = nil
	}
	req.Body = io.NopCloser(&trailerBody{strings.NewReader("body"), req, fields})
	return req
}

func TestTrailerFieldsThatWereAnnouncedFollowTheBody(t *testing.T) { // RFC 9110 §6.5
	seen := make(chan *http.Request, 1)
	u := peer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		announced := req.Trailer.Clone()
		io.Copy(io.Discard, req.Body)
		for name := range req.Trailer {
			if _, ok := announced[name]; !ok {
				t.Errorf("%s was not announced", name)
			}
		}
		seen <- req
		io.WriteString(conn, ok)
	})
	req := withTrailer(t, []string{"X-Sum", "X-Own", "X-Broken", "X-Vercel-Internal-Request-Id", "Transfer-Encoding", "Content-Length", "X-A\r\nX-B"}, http.Header{
		"X-Sum": {"1", "2"}, "X-Own": {"mine"}, "X-Broken": {"a\r\nb"}, "X-Vercel-Internal-Request-Id": {"7"}, "X-Late": {"x"},
		"Transfer-Encoding": {"chunked"}, "Content-Length": {"4"}, "X-A\r\nX-B": {"x"},
	})
	roundTrip(t, u, req)
	if diff := cmp.Diff(http.Header{"X-Sum": {"1", "2"}, "X-Own": {"mine"}, "X-Broken": nil}, (<-seen).Trailer); diff != "" {
		t.Errorf("the trailer (-want +got):\n%s", diff)
	}
}

func TestAForeignServerGetsNoRequestBehindTrailerFields(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		var connections atomic.Int32
		u := peer(t, func(n int, conn net.Conn) {
			connections.Add(1)
			answering(func(*http.Request) string { return ok })(n, conn)
		})
		u.Foreign = foreign
		roundTrip(t, u, withTrailer(t, []string{"X-Sum"}, http.Header{"X-Sum": {"1"}}))
		if !foreign {
			awaitIdle(t, u)
		}
		roundTrip(t, u, newRequest(t, http.MethodGet, nil))
		if got, want := connections.Load(), map[bool]int32{false: 1, true: 2}[foreign]; got != want {
			t.Errorf("foreign: %v: %d connections, want %d", foreign, got, want)
		}
	}
}

func TestAnAbsentUserAgentStaysAbsent(t *testing.T) {
	for _, values := range [][]string{nil, {""}} {
		u := peer(t, answering(func(req *http.Request) string {
			if _, there := req.Header["User-Agent"]; there {
				t.Errorf("%q became %q", values, req.Header["User-Agent"])
			}
			return ok
		}))
		req := newRequest(t, http.MethodGet, nil)
		req.Header["User-Agent"] = values
		roundTrip(t, u, req)
	}
}
