package wasi

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestResponseHeads parses heads of responses in the form of RFC 3875, section 6.
func TestResponseHeads(t *testing.T) {
	for name, c := range map[string]struct {
		output  string
		status  int
		headers http.Header // without those that are nil
		body    string
	}{
		"document (6.2.1)": {
			"Content-Type: text/plain\n\nhello", 200, http.Header{"Content-Type": {"text/plain"}}, "hello",
		},
		"document with a status (6.3.3)": {
			"Status: 404 Not Found\nContent-Type: text/plain\n\nnone", 404, http.Header{"Content-Type": {"text/plain"}}, "none",
		},
		"redirect of the client (6.2.3)": {
			"Location: https://example.com/\n\n", 302, http.Header{"Location": {"https://example.com/"}}, "",
		},
		"redirect of the client with a document (6.2.4)": {
			"Status: 301 Moved\nLocation: https://example.com/\nContent-Type: text/plain\n\nmoved", 301,
			http.Header{"Location": {"https://example.com/"}, "Content-Type": {"text/plain"}},
			"moved",
		},
		"line ends of CR LF (6.1: NL = LF, here the CR is taken with it)": {
			"Content-Type: text/plain\r\n\r\n\r\nhello", 200, http.Header{"Content-Type": {"text/plain"}}, "\r\nhello",
		},
		"protocol-specific fields (6.3.4)": {
			"Content-Type: a/b\nset-cookie: a=1\nSet-Cookie: b=2\nX-Own:kept\n\n", 200,
			http.Header{"Content-Type": {"a/b"}, "Set-Cookie": {"a=1", "b=2"}, "X-Own": {"kept"}},
			"",
		},
		"fields of the connection are left out": {
			"Content-Type: a/b\nConnection: close\nTransfer-Encoding: chunked\nTrailer: X\nUpgrade: h2c\nKeep-Alive: 1\n\nx", 200,
			http.Header{"Content-Type": {"a/b"}},
			"x",
		},
		"a body longer than its length is cut": {
			"Content-Type: a/b\nContent-Length: 3\n\nhello", 200, http.Header{"Content-Type": {"a/b"}, "Content-Length": {"3"}}, "hel",
		},
		"a length that is no number is left out": {
			"Content-Type: a/b\nContent-Length: -3\n\nhello", 200, http.Header{"Content-Type": {"a/b"}}, "hello",
		},
		"two lengths are left out": {
			"Content-Type: a/b\nContent-Length: 3\nContent-Length: 4\n\nhello", 200, http.Header{"Content-Type": {"a/b"}}, "hello",
		},
	} {
		for _, size := range []int{1, 3, len(c.output)} { // bytes per write
			w := httptest.NewRecorder()
			r := newResponse(w)
			for piece := range pieces(c.output, size) {
				if n, err := r.Write([]byte(piece)); err != nil || n == 0 {
					t.Errorf("%s: %q is written with %d, %v", name, piece, n, err)
				}
			}
			got := w.Header().Clone()
			for field, values := range got {
				if len(values) == 0 {
					delete(got, field)
				}
			}
			if w.Code != c.status || w.Body.String() != c.body || !r.begun {
				t.Errorf("%s, %d bytes at once: the response is %d %q, want %d %q", name, size, w.Code, w.Body, c.status, c.body)
			}
			if diff := cmp.Diff(c.headers, got); diff != "" {
				t.Errorf("%s, %d bytes at once: the headers (-want +got):\n%s", name, size, diff)
			}
		}
	}
}

// pieces cuts a text into pieces of size bytes.
func pieces(text string, size int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// TestMalformedResponseHeads parses heads that RFC 3875, section 6, does not permit.
func TestMalformedResponseHeads(t *testing.T) {
	for output, want := range map[string]string{
		"\nhello":                   "has no head",
		"no field\n\n":              "the head of its response is malformed",
		"Status: nonsense\n\n":      `the status "nonsense"`,
		"Status: 101 Switch\n\n":    `the status "101 Switch"`, // it would end the HTTP exchange
		"Status: 1000\n\n":          `the status "1000"`,
		" Content-Type: a/b\n\nabc": "the head of its response is malformed",
		"X: " + strings.Repeat("x", maxHead) + "\n\n": "too long",
		strings.Repeat("x", maxHead+1):                "too long",
	} {
		w := httptest.NewRecorder()
		r := newResponse(w)
		if _, err := r.Write([]byte(output)); !errors.Is(err, errMalformed) || !strings.Contains(r.malformed, want) || r.begun {
			t.Errorf("%.20q: %v, %q, want %q", output, err, r.malformed, want)
		}
	}
}

// TestEnvironmentOfHeaderFields maps the header of a request to variables (RFC 3875,
// section 4.1.18). A field with "_" in its name would get the variable of one with "-",
// and Proxy that of a proxy's setting.
func TestEnvironmentOfHeaderFields(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "https://example.com:8443/a%20b?x=1", bytes.NewReader([]byte("body")))
	req.Header = http.Header{
		"X-Own": {"a", "b"}, "X_Own": {"forged"}, "X_Real_Ip": {"forged"}, "Proxy": {"http://evil.example"},
		"X-Vercel-Internal-Hops": {"secret"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "Content-Type": {"text/plain"}, "X-Zero": {"a\x00b"},
	}
	got := environment(map[string]string{"OWN": "1", "PATH_INFO": "of the function", "A=B": "x"}, req)
	want := map[string]string{
		"OWN": "1", "HTTP_X_OWN": "a, b", "HTTP_X_REAL_IP": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_CONTENT_TYPE": "text/plain", "HTTP_HOST": "example.com:8443",
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "lateen", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "example.com", "SERVER_PORT": "8443",
		"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a b", "X_RAW_PATH_INFO": "/a%20b", "QUERY_STRING": "x=1", "REQUEST_URI": req.URL.RequestURI(),
		"X_FULL_URL": "https://example.com:8443" + req.URL.RequestURI(), "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "4",
		"REMOTE_ADDR": "192.0.2.1", "REMOTE_HOST": "192.0.2.1", "HTTPS": "on",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the environment (-want +got):\n%s", diff)
	}
}

// TestLinesOfStandardError cuts a module's output into lines of at most 64 KiB.
func TestLinesOfStandardError(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"lines":                        {"a\nb\r\nc", []string{"a", "b", "c"}},
		"empty lines are left out":     {"\n\na\n\n", []string{"a"}},
		"a long line is cut":           {long + "y\nz\n", []string{long, "y", "z"}},
		"a line of the greatest size":  {long[1:] + "\nz", []string{long[1:], "z"}},
		"what is no text is replaced":  {"a\xffb\n", []string{"a\uFFFDb"}},
		"a text without an end at all": {"a", []string{"a"}},
	} {
		for _, size := range []int{7, len(c.text)} {
			var got []string
			l := &lines{emit: func(text string) { got = append(got, text) }, requestErr: func() error { return nil }}
			for piece := range pieces(c.text, size) {
				if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			}
			l.flush()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// TestLinesEndWithTheirRequest writes two lines, the second after the request has
// ended.
func TestLinesEndWithTheirRequest(t *testing.T) {
	over := errors.New("the request has ended")
	said := 0
	l := &lines{emit: func(string) { said++ }, requestErr: func() error {
		if said > 0 {
			return over
		}
		return nil
	}}
	if n, err := l.Write([]byte("a\nb\nc\n")); n != 2 || !errors.Is(err, over) || said != 1 {
		t.Errorf("%d bytes are written as %d lines: %v", n, said, err)
	}
}
