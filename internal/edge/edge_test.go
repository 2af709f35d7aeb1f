package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// invoker is an [Invoker] of a function.
type invoker func(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error)

func (f invoker) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	return f(ctx, spec, req, inv)
}

// sources is a [site.Source] of a function.
type sources func(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)

func (f sources) Owner(context.Context, lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error) {
	return "team_1", "prj_1", nil
}

func (f sources) Site(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
	return f(ctx, d)
}

// records stores the records it gets.
type records struct {
	mu   sync.Mutex
	all  []lateen.Record
	came chan struct{}
}

func (r *records) Record(record lateen.Record) {
	r.mu.Lock()
	r.all = append(r.all, record)
	r.mu.Unlock()
	select {
	case r.came <- struct{}{}:
	default:
	}
}

// stage is an edge behind a real listener, with one deployment at app.localhost.
type stage struct {
	t        testing.TB
	options  Options
	manifest *lateen.Manifest
	site     *lateen.Site
	edge     *Edge
	records  *records
	client   *http.Client // HTTP/1.1 client
	h2       *http.Client // HTTP/2 client with prior knowledge
	address  string
	stop     func() error // ends Run
}

// newStage returns a stage that has not been started. A test changes its options and
// site and then calls open.
func newStage(t testing.TB) *stage {
	t.Helper()
	store, err := artifact.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &lateen.Manifest{Version: 1, Files: map[string]lateen.File{}, Functions: map[string]lateen.Function{}, Outputs: map[string]string{}}
	s := &stage{
		t: t, manifest: m, records: &records{came: make(chan struct{}, 1)},
		site: &lateen.Site{
			Team: "team_1", Project: "prj_1", ProjectName: "app", Deployment: "dpl_1", Host: "app-abc-team.localhost",
			Target: "production", Branch: "main", Manifest: m, Env: map[string]string{"SECRET": "s3cret"},
		},
	}
	s.options = Options{Artifacts: store, Records: s.records, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	s.options.Source = sources(func(_ context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
		if d != s.site.Deployment {
			return nil, lateen.ErrDeploymentNotFound
		}
		return s.site, nil
	})
	return s
}

// file adds a static file at path, with compressed forms if they are smaller.
func (s *stage) file(path, contentType, content string) lateen.File {
	s.t.Helper()
	f := lateen.File{Blob: s.blob([]byte(content)), ContentType: contentType, Encodings: map[string]lateen.Blob{}}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	io.WriteString(w, content)
	w.Close()
	if z.Len() < len(content) {
		f.Encodings["gzip"] = s.blob(z.Bytes())
	}
	s.manifest.Files[path] = f
	return f
}

// blobFile adds a static file of size zero bytes at path.
func (s *stage) blobFile(path string, size int) {
	s.manifest.Files[path] = lateen.File{Blob: s.blob(make([]byte, size)), ContentType: "application/octet-stream"}
}

func (s *stage) blob(content []byte) lateen.Blob {
	s.t.Helper()
	b, err := s.options.Artifacts.(artifact.Store).Put(s.t.Context(), bytes.NewReader(content), "") // newStage opens a store
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// function adds a function at path.
func (s *stage) function(path string, f lateen.Function) {
	if f.Runtime == "" {
		f.Runtime = "nodejs22.x"
	}
	s.manifest.Functions[path] = f
	s.manifest.Outputs[path] = path
}

// handle has h answer for every function, over a real connection.
func (s *stage) handle(h http.HandlerFunc) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	duplex := func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		h(w, r)
	}
	server := &http.Server{Handler: http.HandlerFunc(duplex), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(l)
	transport := &http.Transport{DisableCompression: true}
	s.t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	s.options.Fleet = invoker(func(_ context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
		inv.Function, inv.Start = spec.Name, lateen.StartWarm
		req.URL.Scheme, req.URL.Host = "http", l.Addr().String()
		return transport.RoundTrip(req)
	})
}

// open starts the edge.
func (s *stage) open() *stage {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.options.Plain = append(s.options.Plain, l)
	s.edge = New(s.options)
	s.edge.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}, s.site.Host: {Deployment: "dpl_1"}})
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.edge.Run(ctx) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	s.t.Cleanup(func() {
		if err := s.stop(); err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	s.client, s.h2 = s.newClient(false), s.newClient(true)
	return s
}

func (s *stage) newClient(h2 bool) *http.Client {
	var p http.Protocols
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	transport := &http.Transport{
		DisableCompression: true, Protocols: &p,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.address)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request returns a request for app.localhost; headers are "Name: value".
func (s *stage) request(method, path string, body io.Reader, headers ...string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://app.localhost"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// do sends a request and reads the whole response.
func (s *stage) do(method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	s.t.Helper()
	return s.send(s.client, s.request(method, path, body, headers...))
}

func (s *stage) get(path string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, headers...)
}

func (s *stage) send(c *http.Client, req *http.Request) (*http.Response, string) {
	s.t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("body of %s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(b)
}

// waitLimit is the time limit for results that are immediate on an idle machine and
// late on a busy one.
const waitLimit = 5 * time.Minute

// record waits for the record of the n-th request, counted from 0, and returns it.
func (s *stage) record(n int) lateen.Record {
	s.t.Helper()
	timeout := time.After(waitLimit)
	for {
		s.records.mu.Lock()
		all := s.records.all
		s.records.mu.Unlock()
		if len(all) > n {
			return all[n]
		}
		select {
		case <-s.records.came:
		case <-timeout:
			s.t.Fatalf("there are %d records, want more than %d", len(all), n)
		}
	}
}

// is fails the test unless resp has status and the platform's error code code; "" is
// no error.
func is(t testing.TB, resp *http.Response, status int, code string) {
	t.Helper()
	if resp.StatusCode != status || resp.Header.Get("X-Vercel-Error") != code {
		t.Errorf("got %d %q, want %d %q", resp.StatusCode, resp.Header.Get("X-Vercel-Error"), status, code)
	}
}

// has fails the test unless value is the only value of name in h; "" is an absent field.
func has(t testing.TB, h http.Header, name, value string) {
	t.Helper()
	if got := strings.Join(h.Values(name), " | "); got != value {
		t.Errorf("%s: %q, want %q", name, got, value)
	}
}

func TestHostsLeadToTheAPIOrToADeployment(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	s.options.Domain = "example.dev"
	s.options.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "api") })
	s.open()
	s.edge.Route(map[string]lateen.Binding{"App.Example.dev": {Deployment: "dpl_1"}, "gone.example.dev": {Deployment: "dpl_2"}})
	for host, want := range map[string]string{
		"127.0.0.1": "api", "127.0.0.1:8080": "api", "[::1]": "api", "[::1]:80": "api", "[fe80::1%25eth0]:80": "api",
		"localhost": "api", "LOCALHOST:8080": "api", "localhost.": "api", "api.example.dev": "api", "API.example.dev:443": "api",
		"app.example.dev": "app", "APP.example.dev:8080": "app", "app.example.dev.": "app", "app.localhost": "app",
		"api.localhost": "DEPLOYMENT_NOT_FOUND", "example.dev": "DEPLOYMENT_NOT_FOUND", "gone.example.dev": "DEPLOYMENT_NOT_FOUND",
		"unknown": "DEPLOYMENT_NOT_FOUND", "api.api.example.dev": "DEPLOYMENT_NOT_FOUND",
	} {
		resp, body := s.get("/", "Host: "+host)
		if code := resp.Header.Get("X-Vercel-Error"); code != "" {
			body = code
		}
		if body != want {
			t.Errorf("host %s: %d %q, want %q", host, resp.StatusCode, body, want)
		}
	}
}

func TestFunctionsReachSitesAndNotTheAPI(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	s.options.Domain = "example.dev"
	s.options.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "api") })
	s.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.open()
	s.edge.Route(map[string]lateen.Binding{"app.example.dev": {Deployment: "dpl_1"}})
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 198, 0, 7)}} // an address of functions
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", s.address)
	}}}
	defer c.CloseIdleConnections()
	for _, host := range []string{"127.0.0.1", "localhost", "api.example.dev", "API.example.dev:443"} {
		resp, body := s.send(c, s.request(http.MethodGet, "/v2/user", nil, "Host: "+host, "X-Forwarded-For: 203.0.113.9"))
		if resp.StatusCode != http.StatusForbidden || body == "api" || !strings.Contains(body, "API") {
			t.Errorf("host %s: %d %q", host, resp.StatusCode, body)
		}
	}
	resp, _ := s.send(c, s.request(http.MethodGet, "/", nil, "Host: app.example.dev"))
	is(t, resp, 200, "")
}

func TestRouteTakesEffectWithTheNextRequest(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	s.open()
	resp, _ := s.get("/", "Host: new.localhost")
	is(t, resp, 404, "DEPLOYMENT_NOT_FOUND")
	s.edge.Route(map[string]lateen.Binding{"new.localhost": {Deployment: "dpl_1"}})
	resp, _ = s.get("/", "Host: new.localhost")
	is(t, resp, 200, "")
	s.edge.Route(map[string]lateen.Binding{"new.localhost": {}})
	resp, _ = s.get("/", "Host: new.localhost")
	is(t, resp, 404, "DEPLOYMENT_NOT_FOUND")
}

func TestAHostRedirectsToAnotherWithPathAndQuery(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	s.open()
	s.edge.Route(map[string]lateen.Binding{"old.localhost": {Deployment: "dpl_1", Redirect: "www.example.com"}})
	for _, c := range []struct{ host, path, want string }{
		{"old.localhost", "/", "http://www.example.com/"},
		{"OLD.localhost.:8080", "/a%2Fb/%7Ec?q=1&q=%20", "http://www.example.com:8080/a%2Fb/%7Ec?q=1&q=%20"},
		{"old.localhost", "//evil.example/", "http://www.example.com//evil.example/"},
		{"old.localhost", "/%0d%0aSet-Cookie:x", "http://www.example.com/%0d%0aSet-Cookie:x"},
		{"old.localhost", "/?", "http://www.example.com/?"},
	} {
		resp, _ := s.get(c.path, "Host: "+c.host)
		is(t, resp, 307, "")
		if got := resp.Header.Get("Location"); got != c.want {
			t.Errorf("%s%s redirects to %q, want %q", c.host, c.path, got, c.want)
		}
	}
	if r := s.record(4); r.Kind != "redirect" || r.Status != 307 || r.Deployment != "dpl_1" {
		t.Errorf("the record is %+v", r)
	}
}

func TestEventsTakeEffectWithTheNextRequest(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	s.open()
	bound := func(host string) lateen.Event {
		return lateen.Event{Type: lateen.HostBound, Subject: host, Deployment: "dpl_1", Binding: lateen.Binding{Deployment: "dpl_1"}}
	}
	answers := func(host string, status int) {
		t.Helper()
		if resp, _ := s.get("/", "Host: "+host); resp.StatusCode != status {
			t.Errorf("%s answers %d, want %d", host, resp.StatusCode, status)
		}
	}
	s.edge.Apply([]lateen.Event{bound("a.localhost"), bound("b.localhost"), {Type: lateen.HostUnbound, Subject: "a.localhost"}})
	answers("a.localhost", 404)
	answers("b.localhost", 200)
	s.edge.Apply([]lateen.Event{bound("a.localhost"), {Type: lateen.HostUnbound, Subject: "b.localhost"}, {Type: lateen.DeploymentRemoved, Deployment: "dpl_2"}})
	answers("a.localhost", 200)
	answers("b.localhost", 404)
}

func TestConcurrentRequestsShareOneLoadOfASite(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	var loads atomic.Int32
	release := make(chan struct{})
	s.options.Source = sources(func(context.Context, lateen.DeploymentID) (*lateen.Site, error) {
		loads.Add(1)
		<-release
		return s.site, nil
	})
	s.open()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			resp, err := s.client.Do(s.request("GET", "/", nil))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			is(t, resp, 200, "")
		})
	}
	close(release)
	all.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("the site was loaded %d times, want 1", n)
	}
}

func TestAFailedLoadOfASiteIsRetried(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "app")
	failure := errors.New("disk failure")
	s.options.Source = sources(func(context.Context, lateen.DeploymentID) (*lateen.Site, error) { return s.site, failure })
	s.open()
	resp, body := s.get("/")
	is(t, resp, 500, "INTERNAL_SERVER_ERROR")
	if strings.Contains(body, "fire") {
		t.Errorf("the page has the text of an internal error: %s", body)
	}
	failure = nil
	resp, _ = s.get("/")
	is(t, resp, 200, "")
}

func TestTheRecordOfARequest(t *testing.T) {
	s := newStage(t)
	s.function("/api/hello", lateen.Function{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	})
	s.open()
	resp, _ := s.do("POST", "/api/hello?q=1", strings.NewReader("four"), "User-Agent: test/1", "Referer: http://x/")
	r := s.record(0)
	if r.Duration <= 0 || r.FirstByte <= 0 || r.FirstByte > r.Duration || r.Time == 0 {
		t.Errorf("times: %+v", r)
	}
	got := []any{r.Method, r.Host, r.Path, r.Status, r.ClientIP, r.UserAgent, r.Referer, r.BytesIn, r.BytesOut, r.Kind, r.Output, r.Cache, r.Error, r.Invocation.Function, r.Team, r.Project, r.Deployment, r.Target, r.Branch}
	want := []any{"POST", "app.localhost", "/api/hello", 200, "127.0.0.1", "test/1", "http://x/", int64(4), int64(5), "function", "/api/hello", "MISS", "", "/api/hello", lateen.TeamID("team_1"), lateen.ProjectID("prj_1"), lateen.DeploymentID("dpl_1"), lateen.Production, "main"}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("field %d is %v, want %v", i, got[i], want[i])
		}
	}
	has(t, resp.Header, "X-Vercel-Id", "dev1::"+string(r.ID))
	has(t, resp.Header, "X-Vercel-Cache", "MISS")
	has(t, resp.Header, "Server", "Lateen")
}
