package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/share"
)

// functionStage returns a stage with a function at /fn whose handler is h.
func functionStage(t testing.TB, h http.HandlerFunc) *stage {
	s := newStage(t)
	s.function("/fn", lateen.Function{})
	s.handle(h)
	return s
}

func TestAFunctionStreamsBothWays(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			rc.Flush()
		}
	}
	s := functionStage(t, echo).open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			resp, err := client.Do(s.request("POST", "/fn", in))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			for _, word := range []string{"one", "two", "three"} { // each arrives before the next is sent
				fmt.Fprintln(out, word)
				if !lines.Scan() || lines.Text() != "echo "+word {
					t.Fatalf("got %q after %q: %v", lines.Text(), word, lines.Err())
				}
			}
			out.Close()
			if lines.Scan() {
				t.Errorf("unexpected further line: %q", lines.Text())
			}
		})
	}
}

func TestAnEventStreamIsFlushedEventByEvent(t *testing.T) {
	more := make(chan bool)
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush()
		for <-more {
			io.WriteString(w, "data: x\n\n")
			http.NewResponseController(w).Flush()
		}
	}).open()
	resp, err := s.client.Do(s.request("GET", "/fn", nil, "Accept-Encoding: gzip, br, zstd")) // returns after the header
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	has(t, resp.Header, "Content-Encoding", "")
	for range 3 {
		more <- true
		if got, err := io.ReadAll(io.LimitReader(resp.Body, 9)); string(got) != "data: x\n\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	more <- false
}

func TestAClientThatLeavesCancelsTheFunction(t *testing.T) {
	gone := make(chan struct{})
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 5000))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}).open()
	ctx, leave := context.WithCancel(t.Context())
	resp, err := s.client.Do(s.request("GET", "/fn", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	leave()
	resp.Body.Close()
	<-gone
	if r := s.record(0); r.Status != 499 || r.BytesOut == 0 {
		t.Errorf("record: status %d, %d bytes", r.Status, r.BytesOut)
	}
}

func TestATruncatedResponseIsVisibleToTheClient(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half of it")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}).open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		for _, accept := range []string{"identity", "gzip"} {
			resp, err := client.Do(s.request("GET", "/fn", nil, "Accept-Encoding: "+accept))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s, %s: the body ended without an error", name, accept)
			}
			resp.Body.Close()
		}
	}
	for n := range 4 {
		if r := s.record(n); r.Status != 200 || r.Error != "response_cut_short" {
			t.Errorf("recorded: %d %q", r.Status, r.Error)
		}
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	called := make(chan struct{}, 10)
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		io.Copy(io.Discard, r.Body)
	})
	s.options.MaxBody = 100_000
	s.open()
	big := strings.Repeat("x", 100_001)
	resp, _ := s.do("POST", "/fn", strings.NewReader(big))
	is(t, resp, 413, "FUNCTION_PAYLOAD_TOO_LARGE")
	if len(called) != 0 {
		t.Error("the function was called for a body with a too large Content-Length")
	}
	for _, client := range []*http.Client{s.client, s.h2} {
		resp, _ := s.send(client, s.request("POST", "/fn", io.MultiReader(strings.NewReader(big)))) // of unknown length
		is(t, resp, 413, "FUNCTION_PAYLOAD_TOO_LARGE")
	}
	resp, _ = s.do("POST", "/fn", strings.NewReader(big[1:]))
	is(t, resp, 200, "")
	if r := s.record(1); r.Error != "function_payload_too_large" {
		t.Errorf("recorded error: %q", r.Error)
	}
}

func TestARefusedClientThatExpectsContinueSendsNoBody(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			t.Error("the function sees Expect")
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	s.options.MaxBody = 10
	s.open()
	s.client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
	resp, body := s.do("POST", "/fn", strings.NewReader("1234"), "Expect: 100-continue")
	if is(t, resp, 200, ""); body != "4" {
		t.Errorf("the function read %s bytes", body)
	}
	sent := &countingReader{Reader: strings.NewReader(strings.Repeat("x", 11))}
	req := s.request("POST", "/fn", sent, "Expect: 100-continue")
	req.ContentLength = 11
	resp, _ = s.send(s.client, req)
	is(t, resp, 413, "FUNCTION_PAYLOAD_TOO_LARGE")
	if sent.n != 0 {
		t.Errorf("the client sent %d bytes", sent.n)
	}
}

type countingReader struct {
	io.Reader

	n int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

func TestTrailersPassBothWays(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		http.NewResponseController(w).Flush() // the response has no Content-Length
		w.Header().Set(http.TrailerPrefix+"X-Out", r.Trailer.Get("X-In")+"!")
	}).open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		req := s.request("POST", "/fn", io.MultiReader(strings.NewReader("body")), "Te: trailers")
		req.Trailer = http.Header{"X-In": {"in"}}
		resp, body := s.send(client, req)
		if body != "body" || resp.Trailer.Get("X-Out") != "in!" {
			t.Errorf("%s: body %q, trailer %v", name, body, resp.Trailer)
		}
	}
}

func TestMissingContentTypeAndUserAgentStayMissing(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		fmt.Fprintf(w, "<html>%v", r.Header["User-Agent"])
	}).open()
	for _, client := range []*http.Client{s.client, s.h2} {
		resp, body := s.send(client, s.request("GET", "/fn", nil, "User-Agent: "))
		if values, ok := resp.Header["Content-Type"]; ok {
			t.Errorf("the type is %q", values)
		}
		if body != "<html>[]" {
			t.Errorf("the function answered %s", body)
		}
	}
}

func TestHEADHasNoBody(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	}).open()
	resp, body := s.do("HEAD", "/fn", nil)
	if body != "" || resp.ContentLength != 5 {
		t.Errorf("length %d, body %q", resp.ContentLength, body)
	}
	has(t, resp.Header, "X-Method", "HEAD")
}

func TestAnUnstreamedResponseHasItsLength(t *testing.T) {
	s := newStage(t)
	s.function("/fn", lateen.Function{NoStreaming: true})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "part ")
			http.NewResponseController(w).Flush()
		}
		if r.URL.Query().Has("huge") {
			w.Write(make([]byte, maxBuffered))
		}
	})
	s.open()
	resp, body := s.get("/fn")
	if resp.ContentLength != 15 || body != "part part part " {
		t.Errorf("length %d, body %q", resp.ContentLength, body)
	}
	resp, _ = s.get("/fn?huge")
	is(t, resp, 500, "FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE")
}

func TestUnstreamedResponsesShareABudget(t *testing.T) {
	s := newStage(t)
	s.function("/fn", lateen.Function{NoStreaming: true})
	s.handle(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5*copyBuffer)) })
	s.open()
	s.edge.memory = share.NewAmount[string](3 * copyBuffer)
	resp, _ := s.get("/fn")
	is(t, resp, 503, "OVERLOADED")
	has(t, resp.Header, "Retry-After", "1")
	s.edge.memory = share.NewAmount[string](3 * 6 * copyBuffer)
	for range 3 { // each request releases its memory
		resp, body := s.get("/fn")
		is(t, resp, 200, "")
		if len(body) != 5*copyBuffer {
			t.Errorf("%d bytes came", len(body))
		}
	}
}

func TestNoContentHasNoLength(t *testing.T) {
	s := functionStage(t, nil)
	s.options.Fleet = invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
		return &http.Response{StatusCode: 204, Header: http.Header{"Content-Length": {"5"}}, Body: http.NoBody, ContentLength: 5}, nil
	})
	s.open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		resp, _ := s.send(client, s.request("GET", "/fn", nil))
		if resp.StatusCode != 204 || resp.Header["Content-Length"] != nil {
			t.Errorf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
	}
}

func TestHeadersOfRequestsToFunctions(t *testing.T) {
	var seen *http.Request
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) { seen = r }).open()
	s.get("/fn?b=2&a=%20x", "Host: app.localhost:8080", "Cookie: a=b", "Accept-Encoding: br", "X-Custom: 1", "Authorization: Bearer t",
		"Connection: X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Authorization: x")
	r := s.record(0)
	id := string(r.ID)
	if seen.RequestURI != "/fn?b=2&a=%20x" || seen.Host != "app.localhost:8080" {
		t.Errorf("the request was for %s at %s", seen.RequestURI, seen.Host)
	}
	want := map[string]string{
		"X-Vercel-Internal-Hops": s.edge.hops.Within(0, "")[0],
		"Accept-Encoding":        "br", "Authorization": "Bearer t", "Cookie": "a=b", "User-Agent": "Go-http-client/1.1", "X-Custom": "1",
		"Forwarded":       `for=127.0.0.1;host="app.localhost:8080";proto=http`,
		"Traceparent":     "00-" + r.TraceID + "-" + r.SpanID + "-01",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "app.localhost:8080", "X-Forwarded-Port": "8080", "X-Forwarded-Proto": "http",
		"X-Invocation-Id": id, "X-Matched-Path": "/fn", "X-Real-Ip": "127.0.0.1", "X-Vercel-Deployment-Url": "app-abc-team.localhost",
		"X-Vercel-Forwarded-For": "127.0.0.1", "X-Vercel-Id": "dev1::dev1::" + id, "X-Vercel-Proxied-For": "127.0.0.1",
	}
	for _, name := range slices.Sorted(maps.Keys(seen.Header)) {
		if strings.Join(seen.Header[name], "|") != want[name] {
			t.Errorf("%s: %q, want %q", name, seen.Header[name], want[name])
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestErrorsOfInvocationsBecomePages(t *testing.T) {
	var failure error
	s := newStage(t)
	s.function("/fn", lateen.Function{})
	s.function("/edge", lateen.Function{Runtime: "edge"})
	s.options.Fleet = invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
		return nil, failure
	})
	s.open()
	secret := errors.New("stack trace with a password")
	for _, c := range []struct {
		err    error
		path   string
		status int
		code   string
	}{
		{lateen.ErrFunctionFailed.Because(secret), "/fn", 500, "FUNCTION_INVOCATION_FAILED"},
		{fmt.Errorf("invoke: %w", lateen.ErrFunctionFailed.With("%v", secret)), "/edge", 500, "EDGE_FUNCTION_INVOCATION_FAILED"},
		{lateen.ErrFunctionTimeout, "/fn", 504, "FUNCTION_INVOCATION_TIMEOUT"},
		{lateen.ErrFunctionTimeout, "/edge", 504, "EDGE_FUNCTION_INVOCATION_TIMEOUT"},
		{lateen.ErrFunctionNoResponse, "/fn", 502, "NO_RESPONSE_FROM_FUNCTION"},
		{lateen.ErrFunctionThrottled, "/fn", 503, "FUNCTION_THROTTLED"},
		{lateen.ErrFunctionThrottled, "/edge", 503, "FUNCTION_THROTTLED"},
		{lateen.ErrFunctionStart, "/fn", 503, "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE"},
		{lateen.ErrFunctionRuntime, "/fn", 501, "FUNCTION_RUNTIME_UNSUPPORTED"},
		{secret, "/fn", 500, "INTERNAL_SERVER_ERROR"},
	} {
		failure = c.err
		resp, body := s.get(c.path)
		is(t, resp, c.status, c.code)
		if strings.Contains(body, "password") {
			t.Errorf("%s: the page has the text of the function's error: %s", c.code, body)
		}
		if (resp.Header.Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q", c.code, resp.Header.Get("Retry-After"))
		}
	}
}

func TestAPanicFailsOnlyItsRequest(t *testing.T) {
	s := newStage(t)
	s.function("/fn", lateen.Function{})
	s.file("/ok.txt", "text/plain", "ok")
	s.options.Fleet = invoker(func(context.Context, lateen.FunctionSpec, *http.Request, *lateen.Invocation) (*http.Response, error) {
		panic("bug")
	})
	s.open()
	resp, _ := s.get("/fn")
	is(t, resp, 500, "INTERNAL_SERVER_ERROR")
	resp, _ = s.get("/ok.txt")
	is(t, resp, 200, "")
	if r := s.record(0); r.Status != 500 || r.Error != "internal" {
		t.Errorf("recorded: %d %q", r.Status, r.Error)
	}
}

func TestAFunctionThatCallsItselfIsCutOff(t *testing.T) {
	s := newStage(t)
	var calls atomic.Int64
	s.function("/fn", lateen.Function{})
	s.options.Fleet = invoker(func(_ context.Context, _ lateen.FunctionSpec, req *http.Request, _ *lateen.Invocation) (*http.Response, error) {
		calls.Add(1)
		own := call.HopsHeader + ": " + req.Header.Get("X-Vercel-Internal-Hops")              // as the function's agent sets it
		resp, _ := s.get("/fn", call.HopsHeader+": 0", own, call.HopsHeader+": 1.0123456789") // and user code adds values of its own
		code := resp.Header.Get("X-Vercel-Error")
		if code == "" {
			code = resp.Header.Get("X-Inner")
		}
		return &http.Response{StatusCode: resp.StatusCode, Header: http.Header{"X-Inner": {code}}, Body: http.NoBody}, nil
	})
	s.open()
	resp, _ := s.get("/fn")
	is(t, resp, 508, "")
	has(t, resp.Header, "X-Inner", "INFINITE_LOOP_DETECTED")
	if n := calls.Load(); n != call.MaxHops {
		t.Errorf("the function was called %d times, want %d", n, call.MaxHops)
	}
}
