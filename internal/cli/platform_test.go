package cli_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/observe"
)

// platform is a real platform but for the engine: API, control, store,
// artifacts, build, logs and edge, on a port of its own.
type platform struct {
	*controltest.Platform

	ctx  context.Context // of the test
	url  string
	logs *observe.Log

	mu      sync.Mutex // guards below
	uploads int
	fail    func(r *http.Request) int // status to answer instead; 0: none
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	ctx := t.Context()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{ctx: ctx, url: "http://" + listener.Addr().String()}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	p.Platform = controltest.New(t, func(o *control.Options) {
		o.SiteURL = func(host string) string { return "http://" + host + ":" + port }
	})
	if p.logs, err = observe.Open(ctx, observe.Options{Dir: filepath.Join(p.Dir, "logs")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.logs.Close() })
	kept, err := cache.Open(cache.Options{Dir: filepath.Join(p.Dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	fleet := &functions{logs: p.logs}
	calls, err := api.New(api.Options{
		Control: p.Control, Logs: p.logs, Functions: fleet, Log: p.Log,
		FunctionLimits: api.FunctionLimits{Memory: 1024, Duration: 5 * time.Minute, MaxDuration: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	front := edge.New(edge.Options{
		Artifacts: p.Artifacts, Source: p.Control, Fleet: fleet, Records: p.logs, Cache: kept, Log: slog.New(slog.DiscardHandler),
		API: p.watch(calls), Plain: []net.Listener{listener}, Grace: time.Second,
	})
	p.Traffic.Forward(front.Apply)
	run(t, p.logs.Run)
	run(t, kept.Run)
	p.Start(t)
	run(t, front.Run)
	return p
}

// run runs a part until the test ends.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := part(ctx); err != nil {
			t.Errorf("a part ended: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// watch counts uploads, and fails the calls that a test wants to fail.
func (p *platform) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		fail := p.fail
		if r.Method == http.MethodPost && r.URL.Path == "/v2/files" {
			p.uploads++
		}
		p.mu.Unlock()
		if fail != nil {
			if status := fail(r); status != 0 {
				http.Error(w, http.StatusText(status), status)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// takeUploads returns how many files were uploaded since the last time.
func (p *platform) takeUploads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.uploads
	p.uploads = 0
	return n
}

// functions stands for the fleet: every function writes two lines and answers, after a
// wait for an instance with the query queued. With the query crash it fails.
type functions struct {
	logs    *observe.Log
	invoked sync.Map // ids of projects
}

// Invoke implements [call.Invoker].
func (f *functions) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	f.invoked.Store(spec.Project, true)
	inv.Function, inv.Start = spec.Name, lateen.StartBlank
	inv.Claim, inv.Load, inv.Handler = 800*time.Microsecond, 5200*time.Microsecond, 3*time.Millisecond
	if strings.Contains(req.URL.RawQuery, "queued") {
		inv.Start, inv.Queue, inv.Claim, inv.Load = lateen.StartWarm, 2*time.Millisecond, 20*time.Microsecond, 0
	}
	inv.CPU, inv.Memory, inv.Outbound = 4*time.Millisecond, 42_000_000, []lateen.Outbound{{Host: "db.example.com", Count: 2}}
	write := func(level, text string) {
		f.logs.Log(lateen.LogLine{
			Time: lateen.MillisOf(time.Now()), Request: lateen.RequestIDFrom(ctx), Project: spec.Project, Deployment: spec.Deployment,
			Function: spec.Name, Level: level, Source: "function", Text: text,
		})
	}
	write(lateen.LevelInfo, "hello from "+spec.Name)
	if strings.Contains(req.URL.RawQuery, "crash") {
		write(lateen.LevelError, "Error: boom\n    at handler (index.js:1:7)")
		return nil, lateen.ErrFunctionFailed
	}
	write(lateen.LevelWarning, "sit down")
	body := http.NoBody
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Body: body}, nil
}

// Prepared implements [api.Functions]: functions have an archive and no template.
func (f *functions) Prepared(lateen.FunctionKey, string) *lateen.Preparation {
	return &lateen.Preparation{Archive: true, NoTemplate: "it opened\x1b[2J a connection"}
}

// Functions implements [api.Functions]: /api/hello of an invoked project is being asked
// for, and an instance of another deployment still runs.
func (f *functions) Functions(project lateen.ProjectID) []lateen.FunctionState {
	if _, ok := f.invoked.Load(project); !ok {
		return nil
	}
	hello := lateen.FunctionState{
		Project: project, Deployment: "dpl_before", Function: "/api/hello", Limit: 8, MaxLimit: 64, MaxInstances: 16, KeepAlive: 90 * time.Second,
		LastAsked: lateen.MillisOf(time.Now()), StartTime: 8 * time.Millisecond, Memory: 42_000_000, InFlight: 3, Waiting: 12, Starting: 1,
		Instances: []lateen.InstanceState{
			{ID: "ins_1", Phase: lateen.PhaseRunning, Start: lateen.StartTemplate, Since: lateen.MillisOf(time.Now()), InFlight: 3, Requests: 7},
			{ID: "ins_2", Phase: lateen.PhaseFrozen, Start: lateen.StartBlank, Since: lateen.MillisOf(time.Now()), CPU: 3 * time.Millisecond, Memory: 40_000_000},
		},
		Starts: []lateen.StartState{
			{Kind: lateen.StartWarm, Count: 90, P50: 400 * time.Microsecond, P99: 2 * time.Millisecond},
			{Kind: lateen.StartTemplate, Count: 4, P50: 8 * time.Millisecond, P99: 14 * time.Millisecond},
		},
	}
	return []lateen.FunctionState{hello}
}
