package local

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lateen-dev/lateen"
)

// message is a request, to a function and to the server of its runtime.
type message struct {
	method, target string
	header         [][2]string
	body           string
	chunked        bool
	trailer        [][2]string
}

// asks returns the requests for all ways to read and to answer: each way to read a
// body with each body, each way to answer with GET and HEAD, and special headers and
// targets.
func asks(reads, answers []string) []message {
	var all []message
	long := strings.Repeat("0123456789abcdef\n", 8000)
	for _, read := range reads {
		for _, kind := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", ""} {
			for _, body := range []string{"", `"caf\u00e9"` + "\n" + `x`, long} {
				for _, chunked := range []bool{false, true} {
					a := message{method: "POST", target: "/?read=" + read, body: body, chunked: chunked}
					if kind != "" {
						a.header = [][2]string{{"Content-Type", kind}}
					}
					if (kind == "application/json" || kind == "") == (body == long) { // half of the combinations suffice
						all = append(all, a)
					}
				}
			}
		}
	}
	for _, answer := range answers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			all = append(all, message{method: method, target: "/?answer=" + answer})
		}
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS"} {
		all = append(all, message{method: method, target: "/a?read=" + reads[1], body: "x"}, message{method: method, target: "/a"})
	}
	for _, target := range []string{"/%E9%20b/%2F?q=%zz&q=+&&=", "//double//x", "/a;b=c?a=%C3%A9", "/?" + strings.Repeat("q=1&", 2000)} {
		all = append(all, message{method: "GET", target: target})
	}
	all = append(all, message{method: "GET", target: "/", header: [][2]string{
		{"X-List", "1"},
		{"X-List", "2"},
		{"X-Empty", ""},
		{"X-Long", strings.Repeat("x", 6000)},
		{"X-!#$%&'*+.^|~", "token"},
		{"Cookie", "a=1"},
		{"Cookie", "b=2"},
		{"X-Inner", "a  b\tc"},
		{"X-Comma", "a,b, c"},
		{"Accept", "text/html"},
		{"Accept", "*/*"},
		{"Authorization", "Basic eA=="},
	}})
	for _, header := range [][][2]string{{{"X-Latin", "caf\xe9"}}, {{"X_Under", "dropped"}, {"X-Under", "kept"}}} {
		all = append(all, message{method: "GET", target: "/", header: header})
	}
	return append(all, message{method: "POST", target: "/?read=" + reads[1], body: "body", chunked: true, trailer: [][2]string{{"X-Sum", "1"}}})
}

// seen is the result of a request: the function's view and the client's view.
type seen struct {
	Status  int
	Interim []int
	Header  [][2]string
	Length  string
	Body    any
	Trailer http.Header
}

// ofConnection lists header fields that belong to the connection.
var ofConnection = []string{"connection", "keep-alive", "date", "server", "transfer-encoding", "content-length", "trailer"}

func observe(t *testing.T, resp *http.Response, interim []int) (seen, error) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return seen{}, err
	}
	s := seen{Status: resp.StatusCode, Interim: interim, Body: string(body), Length: "none"}
	var value map[string]any
	if json.Unmarshal(body, &value) == nil {
		s.Body = ordered(value)
	}
	for name, values := range resp.Header {
		if name = strings.ToLower(name); !slices.Contains(ofConnection, name) {
			for _, v := range values {
				s.Header = append(s.Header, [2]string{name, v})
			}
		}
	}
	slices.SortStableFunc(s.Header, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	if resp.ContentLength >= 0 && resp.Header.Get("Content-Length") != "" {
		s.Length = "declared"
	} else if len(resp.TransferEncoding) > 0 {
		s.Length = "chunks"
	}
	if len(resp.Trailer) > 0 {
		s.Trailer = resp.Trailer
	}
	return s, nil
}

// ordered sorts the header fields in a function's view by their case-insensitive
// names.
func ordered(value map[string]any) map[string]any {
	raw, ok := value["rawHeaders"].([]any)
	if !ok {
		return value
	}
	var pairs [][2]string
	for i := 0; i+1 < len(raw); i += 2 {
		if name := strings.ToLower(raw[i].(string)); name != "connection" {
			pairs = append(pairs, [2]string{name, raw[i+1].(string)})
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	value["rawHeaders"] = pairs
	return value
}

// plainly sends a request to a server as raw bytes, without an HTTP client. A
// server that closes a connection before it has read the body may reset it, and
// a reset may destroy the response (RFC 9112 §9.6): plainly sends the request
// again then, a limited number of times.
func plainly(t *testing.T, port string, a *message) seen {
	t.Helper()
	for range 20 {
		got, err := exchange(t, port, a)
		if err == nil {
			return got
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			break
		}
	}
	return seen{Body: "no response"}
}

// exchange sends a request over a connection of its own.
func exchange(t *testing.T, port string, a *message) (seen, error) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(t.Context(), func() { conn.Close() })
	defer stop()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n", a.method, a.target)
	for _, field := range a.header {
		fmt.Fprintf(&out, "%s: %s\r\n", field[0], field[1])
	}
	switch {
	case a.chunked && a.body != "":
		out.WriteString("Transfer-Encoding: chunked\r\n")
		for _, field := range a.trailer {
			fmt.Fprintf(&out, "Trailer: %s\r\n", field[0])
		}
		fmt.Fprintf(&out, "\r\n%x\r\n%s\r\n0\r\n", len(a.body), a.body)
		for _, field := range a.trailer {
			fmt.Fprintf(&out, "%s: %s\r\n", field[0], field[1])
		}
		out.WriteString("\r\n")
	case a.body != "" || a.method == "POST" || a.method == "PUT" || a.method == "PATCH":
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(a.body), a.body)
	default:
		out.WriteString("\r\n")
	}
	go conn.Write(out.Bytes()) // a server that answers early may close the connection
	req, err := http.NewRequest(a.method, "http://example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var interim []int
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return seen{}, err
		}
		if resp.StatusCode >= 200 {
			return observe(t, resp, interim)
		}
		interim = append(interim, resp.StatusCode)
	}
}

// through sends a request to an instance in the form of the edge.
func through(t *testing.T, i http.RoundTripper, a *message) seen {
	t.Helper()
	req := to(t, a.method, "/", nil)
	path, query, _ := strings.Cut(a.target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	req.URL = &url.URL{Path: decoded, RawPath: path, RawQuery: query}
	req.Header = http.Header{}
	for _, field := range a.header {
		req.Header.Add(field[0], field[1])
	}
	if a.body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(a.body)), int64(len(a.body))
		if a.chunked {
			req.ContentLength = -1
			for _, field := range a.trailer {
				req.Trailer = http.Header{field[0]: {field[1]}}
			}
		}
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		return seen{Body: "no response"}
	}
	defer resp.Body.Close()
	got, err := observe(t, resp, nil)
	if err != nil {
		return seen{Status: resp.StatusCode, Body: "broken off: " + err.Error()}
	}
	return got
}

// differences lists the intended differences. level makes both sides equal.
var differences = []struct {
	what  string
	of    []string // runtimes
	level func(own, ours *seen)
}{
	{"interim responses end at the platform", []string{"Node.js 22", "Node.js 24"}, func(own, _ *seen) { own.Interim = nil }},
	{"Connection is the platform's", []string{"WSGI"}, func(own, _ *seen) { delete(environOf(own), "HTTP_CONNECTION") }},
	{"wsgiref takes a body without a type for text", []string{"WSGI"}, func(own, ours *seen) {
		if _, there := environOf(ours)["CONTENT_TYPE"]; !there && environOf(own)["CONTENT_TYPE"] == "text/plain" {
			delete(environOf(own), "CONTENT_TYPE")
		}
	}},
	{"a body in chunks has no CONTENT_LENGTH", []string{"WSGI"}, func(own, ours *seen) {
		if environOf(ours)["CONTENT_LENGTH"] == nil {
			delete(environOf(own), "CONTENT_LENGTH")
		}
	}},
	{"http.server makes one slash of two at the beginning of a path", []string{"WSGI"}, func(own, ours *seen) {
		if path, ok := environOf(ours)["PATH_INFO"].(string); ok && environOf(own)["PATH_INFO"] == strings.TrimPrefix(path, "/") {
			environOf(own)["PATH_INFO"] = path
		}
	}},
	{"names with an underscore are dropped where others become them", []string{"WSGI", "ASGI"}, func(own, ours *seen) {
		if env := environOf(own); env["HTTP_X_UNDER"] != nil {
			env["HTTP_X_UNDER"] = environOf(ours)["HTTP_X_UNDER"]
		}
		if value, ok := own.Body.(map[string]any); ok && own.Body != nil {
			if pairs, ok := value["rawHeaders"].([][2]string); ok {
				value["rawHeaders"] = slices.DeleteFunc(pairs, func(field [2]string) bool { return strings.Contains(field[0], "_") })
			}
		}
	}},
	{"the server delimits a response that does not say its length", []string{"WSGI", "ASGI", "a handler class"}, func(own, ours *seen) {
		own.Length = ours.Length
	}},
}

// environOf returns the environment of a WSGI application.
func environOf(s *seen) map[string]any {
	value, _ := s.Body.(map[string]any)
	env, _ := value["environ"].(map[string]any)
	return env
}

// brokenOff sends half of a body, and returns the function's view of it.
func brokenOff(t *testing.T, read string, peer http.RoundTripper) string {
	t.Helper()
	broken := errors.New("the client has gone")
	req := to(t, http.MethodPost, "/?read="+read, nil)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))), 8
	if resp, err := peer.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Errorf("%s: got a response", read)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		resp, err := peer.RoundTrip(to(t, http.MethodGet, "/seen", nil))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if string(body) != "[]" {
			return string(body)
		}
	}
	return ""
}

// overTCP sends requests to a port of this host.
func overTCP(t *testing.T, port string) http.RoundTripper {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return tripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host = "http", "127.0.0.1:"+port
		return transport.RoundTrip(req)
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// ownServer runs a server program and returns the port that it prints.
func ownServer(t *testing.T, dir string, env []string, program string, args ...string) (port string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // the program may have ended
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestFunctionsGetTheSameRequestsAsServersOfTheirRuntime: docs/frameworks.md
// describes each difference and its reason.
func TestFunctionsGetTheSameRequestsAsServersOfTheirRuntime(t *testing.T) {
	r := newRig(t)
	parsed, err := txtar.ParseFile("testdata/matrix.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range parsed.Files {
		files[f.Name] = string(f.Data)
	}
	tree := r.tree("matrix", files)
	dir := filepath.Join(r.trees, string(tree))
	nodeReads := []string{"none", "iterate", "text", "buffer", "arrayBuffer", "blob", "toWeb", "toArray", "pipeline", "pipe", "data", "encoding", "readable", "small", "later"}
	nodeAnswers := []string{"plain", "length", "pieces", "flushed", "empty", "none", "unchanged", "missing", "odd", "trailers", "interim"}
	pythonReads, pythonAnswers := []string{"none", "whole"}, []string{"plain", "length", "pieces", "empty", "none", "unchanged", "missing", "odd"}
	node := func(major int) func(*testing.T) string {
		return func(t *testing.T) string {
			program, err := r.o.Toolchain.Node(t.Context(), major)
			if err != nil {
				t.Fatal(err)
			}
			return ownServer(t, dir, nil, program, "node_server.js")
		}
	}
	python := func(server string) func(*testing.T) string {
		return func(t *testing.T) string {
			if len(r.pythons) == 0 {
				t.Skip("there is no Python on this host: scripts/setup.sh installs one")
			}
			return ownServer(t, dir, []string{"PYTHONPATH=/usr/lib/python3/dist-packages", "PYTHONDONTWRITEBYTECODE=1"}, r.pythons[0].Program, server)
		}
	}
	met := make([]bool, len(differences))
	for _, c := range []struct {
		name, runtime, handler string
		server                 func(*testing.T) string
		reads, answers         []string
		trailers               bool // the runtime's own server reads trailers
	}{
		{"Node.js 22", "nodejs22.x", "node.js", node(22), nodeReads[:6], nodeAnswers, true},
		{"Node.js 24", "nodejs24.x", "node.js", node(24), nodeReads, nodeAnswers, true},
		{"Bun", "bun1.x", "bun.js", func(t *testing.T) string {
			program, err := r.o.Toolchain.Bun(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return ownServer(t, dir, nil, program, "bun_server.js")
		}, []string{"none", "text", "arrayBuffer", "bytes", "blob", "clone", "stream"}, []string{"plain", "length", "pieces", "empty", "none", "unchanged", "missing", "odd"}, true},
		{"WSGI", "python3", "wsgi.py", python("wsgi_server.py"), []string{"none", "whole", "pieces", "lines"}, append(pythonAnswers, "written"), false},
		{"ASGI", "python3", "asgi.py", python("asgi_server.py"), pythonReads, pythonAnswers, true},
		{"a handler class", "python3", "class.py", python("class_server.py"), pythonReads, []string{"plain", "length", "empty", "none", "unchanged", "missing", "odd"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := c.server(t)
			i := r.start(t, lateen.Function{Runtime: c.runtime, Handler: c.handler, Tree: tree, LauncherType: "Nodejs", AddHelpers: true}, nil)
			for _, a := range asks(c.reads, c.answers) {
				if len(a.trailer) > 0 && !c.trailers {
					continue
				}
				got := through(t, i, &a)
				if c.name == "WSGI" || c.name == "a handler class" { // their own servers read no chunks
					a.chunked = false
				}
				want := plainly(t, port, &a)
				for n, d := range differences {
					if slices.Contains(d.of, c.name) && !gocmp.Equal(want, got) {
						before := gocmp.Diff(want, got)
						d.level(&want, &got)
						met[n] = met[n] || before != gocmp.Diff(want, got)
					}
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s %.60s %.200q, %d bytes, chunked: %v (-its own server +the platform):\n%.2000s", a.method, a.target, a.header, len(a.body), a.chunked, diff)
				}
			}
			if strings.HasPrefix(c.name, "Node.js") {
				for _, read := range c.reads[1:] {
					if diff := gocmp.Diff(brokenOff(t, read, overTCP(t, port)), brokenOff(t, read, i)); diff != "" {
						t.Errorf("%s of a body that breaks off (-its own server +the platform):\n%s", read, diff)
					}
				}
			}
			rests(t, i)
		})
	}
	for n, d := range differences {
		if !met[n] && !t.Failed() {
			t.Errorf("difference not found: %s", d.what)
		}
	}
}
