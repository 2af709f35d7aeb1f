package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// externalStage returns a stage that rewrites /out/* to an origin with the handler h.
func externalStage(t *testing.T, h http.HandlerFunc) (*stage, *httptest.Server) {
	t.Helper()
	origin := httptest.NewServer(h)
	t.Cleanup(origin.Close)
	s := newStage(t)
	s.manifest.Routes = []lateen.Route{{Src: "^/out/(.*)$", Dest: origin.URL + "/in/$1?added=1"}}
	s.options.DialOrigin = new(net.Dialer).DialContext
	return s, origin
}

func TestAnExternalRewriteStreamsBothWays(t *testing.T) {
	s, origin := externalStage(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("X-Uri", r.Method+" "+r.RequestURI+" "+r.Host)
		rc.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			rc.Flush()
		}
	})
	s.open()
	in, out := io.Pipe()
	resp, err := s.client.Do(s.request("POST", "/out/a%20b?x=1", in))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	is(t, resp, 200, "")
	has(t, resp.Header, "X-Uri", "POST /in/a%20b?added=1&x=1 "+strings.TrimPrefix(origin.URL, "http://"))
	lines := bufio.NewScanner(resp.Body)
	for _, word := range []string{"one", "two"} {
		fmt.Fprintln(out, word)
		if !lines.Scan() || lines.Text() != "echo "+word {
			t.Fatalf("got %q after %q: %v", lines.Text(), word, lines.Err())
		}
	}
	out.Close()
}

func TestHeadersOfRequestsToOrigins(t *testing.T) {
	var seen http.Header
	s, _ := externalStage(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Set("Cache-Control", "s-maxage=5")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	})
	s.open()
	resp, _ := s.get("/out/x", "Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "Proxy-Authorization: x", "Via: 1.0 mine")
	is(t, resp, 302, "") // the edge passes the redirect on
	has(t, resp.Header, "Location", "/elsewhere")
	has(t, resp.Header, "Cache-Control", "public, max-age=0, must-revalidate")
	has(t, seen, "X-Forwarded-For", "127.0.0.1")
	has(t, seen, "X-Forwarded-Host", "app.localhost")
	has(t, seen, "X-Forwarded-Proto", "http")
	has(t, seen, "Cookie", "a=b")
	has(t, seen, "Via", "1.0 mine | 1.1 lateen")
	has(t, seen, "Proxy-Authorization", "")
	has(t, seen, "X-Vercel-Deployment-Url", "")
	if r := s.record(0); r.Kind != "external" || r.Status != 302 {
		t.Errorf("recorded: %s %d", r.Kind, r.Status)
	}
}

// An encoded slash is no separator (RFC 3986 §2.2), also beside a character that a path
// must encode (§3.3).
func TestEncodedSlashesReachOriginsUnchanged(t *testing.T) {
	seen := ""
	s, _ := externalStage(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.RequestURI })
	s.open()
	for _, path := range []string{"%7C%2Fx", "%7B%2Fx", "%C3%A9%2Fx", "%20%2Fx", "%5E%2Fx"} {
		resp, _ := s.get("/out/" + path)
		is(t, resp, 200, "")
		if want := "/in/" + path + "?added=1"; seen != want {
			t.Errorf("the origin got the path %s, want %s", seen, want)
		}
	}
	resp, _ := s.get("/out/%7C%2F..%2F..%2Fx")
	is(t, resp, 404, "NOT_FOUND")
}

func TestFailuresOfOriginsAreAttributedToThem(t *testing.T) {
	t.Parallel()
	s, origin := externalStage(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.open()
	resp, body := s.get("/out/broken", "Accept: application/json")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_ERROR")
	if !strings.Contains(body, `"fault":"origin"`) {
		t.Errorf("the page does not blame the origin: %s", body)
	}
	origin.Close()
	resp, _ = s.get("/out/gone")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_ERROR")
	s, _ = externalStage(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.options.OriginTimeout = time.Second
	s.open()
	resp, _ = s.get("/out/slow")
	is(t, resp, 504, "ROUTER_EXTERNAL_TARGET_ERROR")
}

func TestExternalRewritesReachNothingWithoutADialer(t *testing.T) {
	s, _ := externalStage(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin was reached") })
	s.options.DialOrigin = nil
	s.open()
	resp, _ := s.get("/out/x")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_REFUSED")
}

// loopAt serves l with the same edge.
func (s *stage) loopAt(l net.Listener) {
	loop := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "app.localhost"
		s.edge.ServeHTTP(w, r)
	})}
	s.t.Cleanup(func() { loop.Close() })
	go loop.Serve(l)
}

func TestALoopOfMiddlewareRewritesEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := middlewareStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Middleware-Rewrite", "http://"+l.Addr().String()+"/again")
	})
	s.options.DialOrigin = new(net.Dialer).DialContext
	s.open()
	s.loopAt(l)
	resp, _ := s.get("/fn")
	is(t, resp, 508, "")
	ends := 0
	for n := range call.MaxHops + 1 {
		if s.record(n).Error == "infinite_loop_detected" {
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("%d of %d requests ended as a loop", ends, call.MaxHops+1)
	}
}

func TestALoopOfExternalRewritesEnds(t *testing.T) {
	s := newStage(t)
	s.options.DialOrigin = new(net.Dialer).DialContext
	l, err := net.Listen("tcp", "127.0.0.1:0") // another listener of the same edge, reached by its address
	if err != nil {
		t.Fatal(err)
	}
	s.manifest.Routes = []lateen.Route{{Src: "^/out$", Dest: "http://" + l.Addr().String() + "/out"}}
	s.open()
	s.loopAt(l)
	for _, claim := range []string{"0", "-1000"} {
		resp, _ := s.get("/out", call.HopsHeader+": "+claim)
		is(t, resp, 508, "")
	}
	ends := 0
	for n := range 2 * (call.MaxHops + 1) {
		if s.record(n).Error == "infinite_loop_detected" {
			ends++
		}
	}
	if ends != 2 {
		t.Errorf("%d requests ended as a loop", ends)
	}
	s.records.mu.Lock()
	defer s.records.mu.Unlock()
	if n := len(s.records.all); n != 2*(call.MaxHops+1) {
		t.Errorf("two requests caused %d requests", n)
	}
}

func TestAnExternalRewriteDoesNotLeadToThePlatformsAPI(t *testing.T) {
	s := newStage(t)
	s.options.Domain = "example.dev"
	s.options.DialOrigin = func(context.Context, string, string) (net.Conn, error) {
		t.Error("the edge connected to the API")
		return nil, io.EOF
	}
	s.manifest.Routes = []lateen.Route{{Src: "^/out$", Dest: "https://API.example.dev./v2/user"}}
	s.open()
	resp, _ := s.get("/out", "Authorization: Bearer token")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_REFUSED")
}

func TestTheHopCountIsNotSentToOrigins(t *testing.T) {
	seen := make(chan http.Header, 1)
	s, _ := externalStage(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	s.open()
	s.get("/out/x", "Authorization: Bearer mine")
	h := <-seen
	has(t, h, call.HopsHeader, "")
	has(t, h, "Authorization", "Bearer mine")
	resp, _ := s.get("/out/x", "Via: "+strings.Repeat("1.1 lateen, ", call.MaxHops-1)+"1.1 other", "Via: 2.0 lateen (x)")
	is(t, resp, 508, "INFINITE_LOOP_DETECTED")
}

// With HTTP/2 the platform would buffer 4 MiB of each response that its client does not
// read, and the clients of one site would block those of others on the same connection.
func TestUnreadResponsesOfOriginsShareNoConnection(t *testing.T) {
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Proto+" "+r.RemoteAddr)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // sends the header
		<-r.Context().Done()
	}))
	origin.EnableHTTP2 = true
	origin.StartTLS()
	t.Cleanup(origin.Close)
	origins := newOrigins(new(net.Dialer).DialContext, 0)
	roots := x509.NewCertPool()
	roots.AddCert(origin.Certificate())
	origins.TLSClientConfig = &tls.Config{RootCAs: roots}
	t.Cleanup(origins.CloseIdleConnections)
	seen := map[string]bool{}
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := origins.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 1 {
			t.Errorf("the origin got a request over %s", resp.Proto)
		}
		seen[resp.Header.Get("X-Seen")] = true
	}
	if len(seen) != 3 {
		t.Errorf("three responses use %d connections, want 3", len(seen))
	}
}

// zoneStage returns a stage with a second host zone.localhost, and without origins on
// the network.
func zoneStage(t *testing.T, h http.HandlerFunc) *stage {
	t.Helper()
	s := functionStage(t, h)
	s.options.Port = "8080"
	s.manifest.Routes = []lateen.Route{
		{Src: "^/zone/(.*)$", Dest: "https://zone.localhost/fn?of=$1"},
		{Src: "^/port$", Dest: "http://zone.localhost:8080/fn"},
		{Src: "^/circle$", Dest: "https://zone.localhost/circle"},
		{Src: "^/elsewhere$", Dest: "http://zone.localhost:3000/fn"},
	}
	s.open()
	s.edge.Route(map[string]lateen.Binding{"zone.localhost": {Deployment: "dpl_1"}})
	return s
}

func TestARewriteToAHostOfThePlatformUsesNoNetwork(t *testing.T) {
	s := zoneStage(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s%s %s %s", r.Method, r.Header.Get("X-Forwarded-Host"), r.RequestURI, r.Header.Get("X-Forwarded-Proto"), body)
		has(t, r.Header, "X-Real-Ip", "127.0.0.1")
	})
	resp, body := s.do("POST", "/zone/a?b=1", strings.NewReader("sent"), "X-Forwarded-For: 6.6.6.6")
	is(t, resp, 200, "")
	if want := "POST zone.localhost/fn?of=a&b=1 http sent"; body != want {
		t.Errorf("got %q, want %q", body, want)
	}
	if resp, body := s.get("/port"); resp.StatusCode != 200 || body != "GET zone.localhost:8080/fn http " {
		t.Errorf("with the port: %d %q", resp.StatusCode, body)
	}
	resp, _ = s.get("/elsewhere")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_REFUSED")
	s.records.mu.Lock()
	defer s.records.mu.Unlock()
	for _, r := range s.records.all {
		if strings.Contains(r.ClientIP, "6.6.6.6") {
			t.Errorf("the second site used fields of the client: %+v", r)
		}
	}
}

func TestALoopOfRewritesBetweenHostsOfThePlatformEnds(t *testing.T) {
	s := zoneStage(t, func(http.ResponseWriter, *http.Request) {})
	resp, _ := s.get("/circle")
	is(t, resp, 508, "")
}

func TestAWebSocketPassesThroughARewriteToAHostOfThePlatform(t *testing.T) {
	s := zoneStage(t, lines)
	c := s.dial()
	fmt.Fprint(c, "GET /port HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	fmt.Fprint(c, "hello\n")
	if line, err := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

// net/http sets the fields of a trailer at the end of the body: no goroutine may read
// the body while another one reads the trailer.
func TestTheHeaderOfARequestToAnOriginDoesNotWaitForItsBody(t *testing.T) {
	s, _ := externalStage(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only the end of the body matters
		fmt.Fprintf(w, "%v %v", r.TransferEncoding, r.Trailer)
	})
	s.open()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /out/x HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\nAuthorization: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "[chunked] map[X-Sum:[1]]" {
		t.Errorf("the origin saw %s", body)
	}
}

func TestRequestsOfInternalRewritesCountForTheirClients(t *testing.T) {
	s := newStage(t)
	s.file("/page.txt", "text/plain", "page")
	s.manifest.Routes = []lateen.Route{{Src: "^/on/(.*)$", Dest: "http://app.localhost/$1"}}
	s.options.MaxPerClient = 3
	s.open()
	for range 3 { // each request releases its slots
		resp, body := s.get("/on/on/page.txt")
		if is(t, resp, 200, ""); body != "page" {
			t.Errorf("got %q", body)
		}
	}
	resp, _ := s.get("/on/on/on/page.txt")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status of three internal requests on one connection of a client with a limit of three: %d", resp.StatusCode)
	}
}

// Any team may give its site the host name of an origin of another team.
func TestARewriteToAHostOfAnotherTeamUsesTheNetwork(t *testing.T) {
	s := newStage(t)
	s.file("/page.txt", "text/plain", "page")
	s.manifest.Routes = []lateen.Route{{Src: "^/out$", Dest: "https://origin.example/page.txt"}}
	other := *s.site
	other.Team, other.Deployment = "team_2", "dpl_2"
	s.options.Source = sources(func(_ context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
		if d == other.Deployment {
			return &other, nil
		}
		return s.site, nil
	})
	s.open()
	s.edge.Route(map[string]lateen.Binding{"origin.example": {Deployment: "dpl_2"}})
	resp, _ := s.get("/out")
	is(t, resp, 502, "ROUTER_EXTERNAL_TARGET_REFUSED") // the stage dials no origin
	s.edge.Route(map[string]lateen.Binding{"origin.example": {Deployment: "dpl_1"}})
	resp, body := s.get("/out")
	if is(t, resp, 200, ""); body != "page" {
		t.Errorf("the team's own: %q", body)
	}
}
