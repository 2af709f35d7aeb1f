package edge

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// prewarmed collects the names of prewarmed functions.
type prewarmed struct {
	mu    sync.Mutex
	names []string
}

func (p *prewarmed) add(spec lateen.FunctionSpec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = append(p.names, spec.Name)
}

// take returns the sorted names since its last call.
func (p *prewarmed) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.names
	p.names = nil
	slices.Sort(names)
	return names
}

// prewarmStage returns a stage with the functions /page, which answers with a page, and
// /api/data, and the collector of prewarmed functions. Its clock advances by a second
// with every reading.
func prewarmStage(t *testing.T) (*stage, *prewarmed) {
	s, p := newStage(t), &prewarmed{}
	for _, path := range []string{"/page", "/api/data"} {
		s.function(path, lateen.Function{})
	}
	s.file("/index.html", "text/html; charset=utf-8", "<h1>home</h1>")
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html")
		}
	})
	s.options.Prewarm = p.add
	var mu sync.Mutex
	now := time.Now()
	s.options.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
	return s, p
}

func TestAPagePrewarmsTheFunctionsItsClientsCallNext(t *testing.T) {
	s, p := prewarmStage(t)
	s.open()
	visit := func(path string, headers ...string) []string {
		t.Helper()
		s.get(path, headers...)
		next := p.take()
		s.get("/api/data", "Referer: http://app.localhost"+path+"?from=mail")
		if more := p.take(); len(more) > 0 {
			t.Errorf("the call of a function prewarmed %q", more)
		}
		return next
	}
	for _, path := range []string{"/page", "/index.html"} {
		for n, want := range [][]string{nil, nil, {"/api/data"}} {
			if got := visit(path); !slices.Equal(got, want) {
				t.Errorf("visit %d of %s prewarmed %q, want %q", n, path, got, want)
			}
		}
	}
	if got := visit("/page", "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1)"); len(got) > 0 {
		t.Errorf("a crawler prewarmed %q", got)
	}
	if got := visit("/page", "Sec-Fetch-Dest: empty"); len(got) > 0 {
		t.Errorf("a script that reads a page prewarmed %q", got)
	}
	if got := visit("/page", "Sec-Fetch-Dest: document"); !slices.Equal(got, []string{"/api/data"}) {
		t.Errorf("a browser prewarmed %q", got)
	}
}

func TestAFunctionIsPrewarmedWhileItsMiddlewareRuns(t *testing.T) {
	s, p := prewarmStage(t)
	s.function("/middleware", lateen.Function{})
	s.manifest.Routes = []lateen.Route{
		{Src: "/page", MiddlewarePath: "/middleware", Continue: true}, {Handle: "filesystem"},
	}
	fleet := s.options.Fleet
	s.options.Fleet = invoker(func(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
		resp, err := fleet.Invoke(ctx, spec, req, inv)
		if spec.Name == "/middleware" {
			resp.Header.Set("X-Middleware-Next", "1")
		}
		return resp, err
	})
	s.open()
	for n, want := range [][]string{nil, nil, {"/page"}} {
		s.get("/page")
		if got := p.take(); !slices.Equal(got, want) {
			t.Errorf("request %d prewarmed %q, want %q", n, got, want)
		}
	}
}

func TestATLSHandshakePrewarmsTheFirstFunction(t *testing.T) {
	s, p := prewarmStage(t)
	a, _ := newAuthority(t)
	cert, err := a.For("app.localhost")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.options.Secure, s.options.TLS = []net.Listener{l}, &tls.Config{Certificates: []tls.Certificate{*cert}}
	s.open()
	shake := func(host string) []string {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: host, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		return p.take()
	}
	for range 2 {
		if got := shake("app.localhost"); len(got) > 0 {
			t.Errorf("a handshake prewarmed %q before any request", got)
		}
		s.get("/page")
		s.get("/api/data") // not the first request of its connection
		s.client.CloseIdleConnections()
	}
	p.take()
	if got := shake("APP.localhost"); !slices.Equal(got, []string{"/page"}) {
		t.Errorf("a handshake prewarmed %q, want /page", got)
	}
	for _, host := range []string{"nobody.localhost", "localhost", ""} {
		if got := shake(host); len(got) > 0 {
			t.Errorf("a handshake for %q prewarmed %q", host, got)
		}
	}
	started := 0
	for range 50 {
		started += len(shake("app.localhost"))
	}
	if started > 12 {
		t.Errorf("50 handshakes without requests prewarmed functions %d times", started)
	}
}
