package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/worker"
)

func TestMain(m *testing.M) {
	relay.Main()
	os.Exit(m.Run())
}

// queueLength is the queue of a function of a [machine].
const queueLength = 250

// machine is a fleet of real processes, and a client of it over a socket. The log
// lines of the functions, and their invalidations, arrive by the client.
type machine struct {
	backend worker.Backend
	client  *worker.Client
	logs    *enginetest.Logs
	trees   string
	socket  string

	mu      sync.Mutex // guards the fields below
	purges  []worker.Purge
	exposed []netip.AddrPort
}

// backend is a fleet with its engine.
type backend struct {
	*fleet.Fleet

	engine *local.Engine
}

func (b *backend) Forget(d lateen.DeploymentID) {
	b.Fleet.Forget(d)
	b.engine.Forget(d)
}

func (b *backend) Provide(ctx context.Context, f *lateen.Function) error {
	return b.engine.Provide(ctx, f)
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{logs: &enginetest.Logs{}, trees: enginetest.Reachable(t)}
	if err := errors.Join(os.MkdirAll(filepath.Join(m.trees, "functions"), 0o755), os.CopyFS(filepath.Join(m.trees, "functions"), os.DirFS("testdata"))); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	events := worker.NewEvents()
	tools := enginetest.Toolchain(t)
	e, err := local.New(local.Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: m.trees, Logs: events, Toolchain: tools, Pool: 2, TimeoutFactor: 10, // with the race detector, on a busy machine
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			dir := filepath.Join(m.trees, string(tree))
			_, err := os.Stat(dir)
			return dir, err
		},
		Purge: func(o datacache.Owner, tags []string, grace time.Duration) {
			events.Purge(worker.Purge{Project: o.Project, Deployment: o.Deployment, Tags: tags, Grace: grace})
		},
		Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tools.Node(t.Context(), 24); err != nil {
		t.Fatal(err)
	}
	f := fleet.New(fleet.Options{Engine: e, Log: log, Lines: events, Queue: queueLength, Grace: time.Second})
	m.backend = &backend{f, e}
	m.socket = filepath.Join(t.TempDir(), "w")
	listener, err := worker.Listen(t.Context(), m.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := worker.NewServer(worker.ServerOptions{Backend: m.backend, Listener: listener, Events: events, Log: log, Expose: m.expose})
	m.client = worker.New(worker.ClientOptions{
		Dial: worker.Dial(m.socket), Lines: m.logs, Purge: m.purge, Log: log,
		Expose: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")} },
	})
	for _, part := range []func(context.Context) error{m.client.Run, server.Run, e.Run, f.Run} { // ends in reverse
		run(t, part)
	}
	return m
}

// run runs a part until the test ends.
func run(t testing.TB, part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (m *machine) purge(p worker.Purge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.purges = append(m.purges, p)
}

func (m *machine) expose(services ...netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exposed = append(m.exposed, services...)
}

// spec returns the function that answers a path. Paths have a function of their own
// if the platform has to treat it differently, or if they end its process.
func (m *machine) spec(path string) lateen.FunctionSpec {
	s := lateen.FunctionSpec{
		Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Name: "/functions",
		Function: lateen.Function{Runtime: "nodejs24.x", Handler: "functions.js", LauncherType: "Nodejs", Tree: "functions"},
		Env:      map[string]string{"GREETING": "hello"},
	}
	f := &s.Function
	switch path {
	case "/switch":
		f.Handler, s.Name = "switch.js", path
	case "/slow":
		f.MaxDuration, s.Name = 1, path
	case "/single":
		f.MaxConcurrency, f.MaxInstances, s.Name = 1, 1, path
	case "/missing":
		f.Handler, s.Name = "missing.js", path
	case "/no-tree":
		f.Tree, s.Name = "none", path
	case "/unknown-runtime":
		f.Runtime, s.Name = "cobol85.x", path
	case "/exits":
		s.Name = path
	}
	s.Key = lateen.NewFunctionKey(s.Deployment, s.Name)
	return s
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("timeout: %s", what)
		}
	}
}

// awaitOf returns a line that a function has written about a request, once it is
// there.
func (m *machine) awaitOf(t testing.TB, id lateen.RequestID, text string) (line lateen.LogLine) {
	t.Helper()
	until(t, "no line with "+text, func() bool {
		lines := m.logs.Lines()
		i := slices.IndexFunc(lines, func(l lateen.LogLine) bool { return l.Request == id && strings.Contains(l.Text, text) })
		if i >= 0 {
			line = lines[i]
		}
		return i >= 0
	})
	return line
}

func (m *machine) awaitPurge(t testing.TB, tag string) {
	t.Helper()
	until(t, "no purge of "+tag, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.ContainsFunc(m.purges, func(p worker.Purge) bool { return p.Deployment == "dpl_1" && slices.Contains(p.Tags, tag) })
	})
}

// state returns the state of a function, as the client reports it.
func (m *machine) state(name string) lateen.FunctionState {
	for _, s := range m.client.Functions("prj_1") {
		if s.Function == name {
			return s
		}
	}
	return lateen.FunctionState{}
}

func (m *machine) awaitQueue(t testing.TB, name string, n int) {
	t.Helper()
	until(t, "the queue is not full", func() bool { return m.state(name).Waiting == n })
}

func (m *machine) awaitIdle(t testing.TB) {
	t.Helper()
	until(t, "requests are in flight", func() bool { s := m.state("/functions"); return s.InFlight == 0 && s.Waiting == 0 })
}
