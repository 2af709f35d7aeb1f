package prerender_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge"
)

const token = "0123456789abcdef0123456789abcdef"

// pageStage is an edge with a cache and one deployment, whose pages come from a function of
// the test. It gets its requests without a network, in synthetic time.
type pageStage struct {
	t       *testing.T
	dir     string
	store   artifact.Store
	site    *lateen.Site
	other   *lateen.Site // site of other.localhost; nil if there is none
	edge    *edge.Edge
	cache   *cache.Cache
	records *records
	lines   *siteLog
	stop    func()
	port    string // port in the URLs of sites

	mu    sync.Mutex
	calls []*http.Request
	// answer is the function; nil answers with the number of the call.
	answer func(r *http.Request, n int) *http.Response
}

// newPageStage returns a pageStage that has not been opened.
func newPageStage(t *testing.T) *pageStage {
	t.Helper()
	store, err := artifact.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &pageStage{
		t: t, dir: t.TempDir(), store: store,
		site: &lateen.Site{
			Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Host: "app-abc-team.localhost", Target: "production",
			Manifest: &lateen.Manifest{
				Version: 1, Outputs: map[string]string{}, Prerenders: map[string]lateen.Prerender{},
				Functions: map[string]lateen.Function{"/fn": {Runtime: "nodejs24.x"}},
			},
		},
	}
}

// page adds a prerendered output, with a fallback if body is not "".
func (p *pageStage) page(output, body string, page lateen.Prerender) {
	p.t.Helper()
	if page.BypassToken == "" {
		page.BypassToken = token
	}
	if body != "" {
		blob, err := p.store.Put(p.t.Context(), strings.NewReader(body), "")
		if err != nil {
			p.t.Fatal(err)
		}
		if page.Fallback == nil {
			page.Fallback = &lateen.Fallback{}
		}
		page.Fallback.Blob, page.Fallback.ContentType = blob, "text/html; charset=utf-8"
	}
	p.site.Manifest.Prerenders[output] = page
	p.site.Manifest.Outputs[output] = "/fn"
}

// open starts the edge with the cache in the directory.
func (p *pageStage) open() {
	p.t.Helper()
	var err error
	if p.cache, err = cache.Open(cache.Options{Dir: p.dir, Log: slog.New(slog.NewTextHandler(p.t.Output(), nil))}); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); p.cache.Run(ctx) }()
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
	p.records, p.lines = &records{}, &siteLog{}
	p.edge = edge.New(edge.Options{
		Artifacts: p.store, Cache: p.cache, Port: p.port, Records: p.records, Lines: p.lines, Fleet: p, Log: slog.New(slog.NewTextHandler(p.t.Output(), nil)),
		Source: sources(func(_ context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
			if p.other != nil && d == p.other.Deployment {
				return p.other, nil
			}
			return p.site, nil
		}),
	})
	p.edge.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}, "www.example.com": {Deployment: "dpl_1"}, "other.localhost": {Deployment: "dpl_2"}})
}

// Invoke implements [call.Invoker].
func (p *pageStage) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	inv.Start = lateen.StartWarm
	p.mu.Lock()
	p.calls = append(p.calls, req)
	n := len(p.calls)
	p.mu.Unlock()
	resp := reply(200, fmt.Sprint("call ", n))
	if p.answer != nil {
		if resp = p.answer(req, n); resp == nil {
			return nil, lateen.ErrFunctionFailed
		}
	}
	resp.Body = &billedBody{resp.Body, inv}
	return resp, ctx.Err()
}

// billedBody sets the cost of an invocation when it is closed.
type billedBody struct {
	io.ReadCloser

	inv *lateen.Invocation
}

// Close ends the invocation.
func (b *billedBody) Close() error {
	b.inv.CPU = 7 * time.Millisecond
	return b.ReadCloser.Close()
}

// reply returns a response of a function; headers are "Name: value".
func reply(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"text/html"}}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func (p *pageStage) called() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// last returns the latest request to the function.
func (p *pageStage) last() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[len(p.calls)-1]
}

// send sends a request; headers are "Name: value" and may include Host.
func (p *pageStage) send(method, path string, headers ...string) *http.Response {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), method, "http://app.localhost"+path, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	p.edge.ServeHTTP(w, r)
	return w.Result()
}

// get returns the cache state, the reason and the body of the response to a GET, or its
// status if that is not 200.
func (p *pageStage) get(path string, headers ...string) string {
	p.t.Helper()
	resp := p.send(http.MethodGet, path, headers...)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait() // for background work
	reason := p.record().CacheReason
	if reason != "" {
		reason = " (" + reason + ")"
	}
	status := ""
	if resp.StatusCode != http.StatusOK {
		status = fmt.Sprint(resp.StatusCode, " ")
	}
	return status + resp.Header.Get("X-Vercel-Cache") + reason + ": " + string(body)
}

// pass advances the synthetic time.
func (p *pageStage) pass(d time.Duration) { time.Sleep(d) }

func (p *pageStage) record() lateen.Record {
	p.records.mu.Lock()
	defer p.records.mu.Unlock()
	return p.records.all[len(p.records.all)-1]
}

func (p *pageStage) want(want, path string, headers ...string) {
	p.t.Helper()
	if got := p.get(path, headers...); got != want {
		p.t.Errorf("GET %s %s\n got %s\nwant %s", path, headers, got, want)
	}
}

// withPages runs test an hour after set, which sets up the deployment.
func withPages(t *testing.T, set, test func(p *pageStage)) {
	t.Helper()
	p := newPageStage(t)
	synctest.Test(t, func(inner *testing.T) {
		p.t = inner
		p.site.CreatedAt = lateen.MillisOf(time.Now())
		set(p)
		p.open()
		defer func() { p.stop() }()
		test(p)
	})
}

// records stores the records it gets.
type records struct {
	mu  sync.Mutex
	all []lateen.Record
}

// Record implements [edge.Recorder].
func (r *records) Record(record lateen.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
}

// siteLog stores the lines of the log of a site.
type siteLog struct {
	mu  sync.Mutex
	all []lateen.LogLine
}

// Log implements [edge.LogSink].
func (l *siteLog) Log(line lateen.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// sources is a [site.Source] of a function.
type sources func(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)

// Owner implements [site.Source].
func (f sources) Owner(context.Context, lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error) {
	return "team_1", "prj_1", nil
}

// Site implements [site.Source].
func (f sources) Site(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
	return f(ctx, d)
}

// has fails the test unless value is the only value of name in h; "" is an absent field.
func has(t testing.TB, h http.Header, name, value string) {
	t.Helper()
	if got := strings.Join(h.Values(name), " | "); got != value {
		t.Errorf("%s: %q, want %q", name, got, value)
	}
}
