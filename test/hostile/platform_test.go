//go:build linux && e2e

package hostile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	waitLimit = 2 * time.Minute // upper limit of a wait for an expected event
	secret    = "of the neighbour"
)

// platform runs hostile functions beside a neighbour, which must not notice.
type platform struct {
	engine *local.Engine
	origin origin
	vessel vessel
	logs   *sink
	trees  string
	dir    string // the engine's
	data   string // a copy of the platform's data directory that every user may read

	store   *cache.Data    // the data cache of functions
	service netip.AddrPort // of this host, the only one that functions may call

	neighbour *function
}

// origin is how processes come to be that functions run in.
type origin struct {
	name    string
	options func(*local.Options) // make the engine start them that way
}

// vessel is a function that runs the attacker. Asked for the path bomb it takes
// memory without end itself, at forks it forks; "" where it does not.
type vessel struct{ name, runtime, handler, bomb, forks string }

// node is the usual starting point of attacks.
func node() vessel { return vessel{"Node.js", "nodejs24.x", "attacker.cjs", "", ""} }

// vessels are the others.
func vessels() []vessel {
	return []vessel{
		{"Python", "python3", "attacker.py", "/bomb", "/forks"},
		{"Bun", "bun1.x", "attacker.cjs", "", ""},
		{"A program", "executable", "attacker", "/bomb", ""},
	}
}

// aboard is the platform whose attacks set out from v.
func (p *platform) aboard(v vessel) *platform {
	other := *p
	other.vessel = v
	return &other
}

// open starts a platform that runs as long as the test.
func open(t *testing.T, attacker string, o origin) *platform {
	t.Helper()
	home := enginetest.Reachable(t)
	p := &platform{origin: o, vessel: node(), logs: &sink{}, trees: filepath.Join(home, "trees"), dir: filepath.Join(home, "run"), data: filepath.Join(home, "data")}
	p.layOut(t, attacker)
	service := greeter(t, "tcp", "127.0.0.1:0").Addr().String()
	p.service = netip.MustParseAddrPort(service)
	trees := func(_ context.Context, tree lateen.Digest) (string, error) {
		return filepath.Join(p.trees, string(tree)), nil
	}
	options := local.Options{
		Dir: p.dir, TreesDir: p.trees, Logs: p.logs, Toolchain: enginetest.Toolchain(t), Pool: 1, Trees: trees,
		Network: egress.New(egress.Options{Host: []netip.AddrPort{p.service}}),
		Path:    filepath.SplitList(os.Getenv("PATH")),
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	values, err := cache.Open(cache.Options{Dir: t.TempDir(), MaxData: maxData})
	if err != nil {
		t.Fatal(err)
	}
	p.store = values.Data()
	options.Data = p.store
	o.options(&options)
	if p.engine, err = local.New(options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if p.engine.Zygotes() == nil {
		until(t, "there is a zygote", func() bool { return p.engine.Pools().Zygotes > 0 })
	}
	p.neighbour = p.startNeighbour(t)
	return p
}

// layOut makes the trees of the functions, and files that are not for them.
func (p *platform) layOut(t *testing.T, attacker string) {
	t.Helper()
	write := func(path string, data []byte, mode os.FileMode) {
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, mode), os.Chmod(path, mode)) //nolint:gosec // for functions
		if err != nil {
			t.Fatal(err)
		}
	}
	sources, err := filepath.Glob("testdata/functions/*.*")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	for _, source := range append(sources, attacker, filepath.Join(filepath.Dir(attacker), "module.wasm")) {
		data, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(p.trees, "hostile", filepath.Base(source)), data, 0o755)
		if filepath.Base(source) == "neighbour.cjs" {
			write(filepath.Join(p.trees, "neighbour", "neighbour.cjs"), data, 0o644)
		}
	}
	write(filepath.Join(p.trees, "neighbour", "secret.txt"), []byte(secret), 0o644)
	write(filepath.Join(p.data, "key"), []byte("of the platform"), 0o644)
}

// layer returns the sandbox layer of that name.
func (p *platform) layer(t *testing.T, name string) sandbox.Layer {
	t.Helper()
	layers := p.engine.Layers()
	i := slices.IndexFunc(layers, func(w sandbox.Layer) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("no sandbox layer %q among %v", name, layers)
	}
	return layers[i]
}

// sink records forged lines, and counts all lines.
type sink struct {
	mu     sync.Mutex // guards below
	count  int
	forged []lateen.LogLine
}

// Log implements [engine.LogSink].
func (s *sink) Log(line lateen.LogLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if strings.Contains(line.Text, "forged") {
		s.forged = append(s.forged, line)
	}
}

// forgeries returns the forged lines.
func (s *sink) forgeries() []lateen.LogLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.forged)
}

// function is a running instance.
type function struct {
	engine.Instance

	p *platform
}

func (p *platform) startNeighbour(t *testing.T) *function {
	t.Helper()
	return p.start(t, "neighbour", "neighbour.cjs", func(s *lateen.FunctionSpec) { s.Env = map[string]string{"SECRET": secret} })
}

// hostile starts a function of the testdata that attacks.
func (p *platform) hostile(t *testing.T, handler string) *function {
	t.Helper()
	return p.start(t, "hostile", handler, func(*lateen.FunctionSpec) {})
}

// small is hostile with little memory.
func (p *platform) small(t *testing.T, handler string) *function {
	t.Helper()
	return p.start(t, "hostile", handler, little)
}

// little is the memory of small functions.
func little(s *lateen.FunctionSpec) { s.Function.Memory = 192 }

// sail starts the vessel that attacks set out from.
func (p *platform) sail(t *testing.T, change func(*lateen.FunctionSpec)) *function {
	t.Helper()
	return p.start(t, "hostile", p.vessel.handler, func(s *lateen.FunctionSpec) {
		s.Function.Runtime = p.vessel.runtime
		change(s)
	})
}

func unchanged(*lateen.FunctionSpec) {}

// start starts an instance of a function of the project that tree belongs to.
func (p *platform) start(t *testing.T, tree, handler string, change func(*lateen.FunctionSpec)) *function {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	i, err := p.begin(ctx, tree, handler, change)
	if errors.Is(err, lateen.ErrFunctionRuntime) {
		t.Skip(err) // scripts/setup.sh installs it
	}
	if err != nil {
		t.Fatalf("start %s: %v", handler, err)
	}
	f := &function{i, p}
	t.Cleanup(f.end)
	return f
}

// begin is start where that may fail.
func (p *platform) begin(ctx context.Context, tree, handler string, change func(*lateen.FunctionSpec)) (engine.Instance, error) {
	return p.engine.Start(ctx, p.spec(tree, handler, change))
}

// spec describes a function of the project that tree belongs to.
func (p *platform) spec(tree, handler string, change func(*lateen.FunctionSpec)) lateen.FunctionSpec {
	spec := lateen.FunctionSpec{
		Key: lateen.FunctionKey(tree + "/" + handler), Team: "team_" + lateen.TeamID(tree), Project: "prj_" + lateen.ProjectID(tree),
		Deployment: "dpl_" + lateen.DeploymentID(tree), Name: "/" + handler,
		Function: lateen.Function{Runtime: "nodejs24.x", Handler: handler, Tree: lateen.Digest(tree), LauncherType: "Nodejs"},
		Env:      map[string]string{},
	}
	change(&spec)
	return spec
}

// end stops the instance without any grace.
func (f *function) end() {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // after the end of the test
	cancel()
	f.Stop(ctx)
}

// target is a path with arguments.
func target(path string, args ...string) string {
	return path + "?" + url.Values{"arg": args}.Encode()
}

// open sends a request.
func (f *function) open(ctx context.Context, target string) (*http.Response, error) {
	ctx = lateen.WithRequestID(ctx, lateen.NewID[lateen.RequestID]("req_", time.Now()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com", nil)
	if err != nil {
		return nil, err
	}
	if req.URL, err = url.Parse(target); err != nil {
		return nil, err
	}
	return f.RoundTrip(req)
}

var errWaitLimit = errors.New("the wait of the test has reached its limit")

// try sends a request and returns the body of the response.
func (f *function) try(ctx context.Context, target string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, waitLimit, errWaitLimit)
	defer cancel()
	resp, err := f.open(ctx, target)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answered %d: %s", resp.StatusCode, body)
	}
	return string(body), err
}

// get is try where that must succeed.
func (f *function) get(t *testing.T, target string) string {
	t.Helper()
	body, err := f.try(t.Context(), target)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return body
}

// outcomes holds the results of attempts, by name.
type outcomes map[string]string

// attempts requests outcomes.
func (f *function) attempts(t *testing.T, target string) outcomes {
	t.Helper()
	body := f.get(t, target)
	var got outcomes
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%s: %v: %s", target, err, body)
	}
	return got
}

// want fails the test if an outcome does not match the pattern as a whole. except
// has the patterns of exceptions, each of which must have been tried.
func (o outcomes) want(t *testing.T, pattern string, except map[string]string) {
	t.Helper()
	for name := range except {
		if _, tried := o[name]; !tried {
			t.Errorf("%s was not tried", name)
		}
	}
	o.each(t, func(name string) string {
		if p, ok := except[name]; ok {
			return p
		}
		return pattern
	})
}

// each is want with a pattern for each name.
func (o outcomes) each(t *testing.T, pattern func(name string) string) {
	t.Helper()
	if len(o) == 0 {
		t.Error("nothing was tried")
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if want := pattern(name); !regexp.MustCompile("^(?:" + want + ")$").MatchString(o[name]) {
			t.Errorf("%s: %s, want %s", name, o[name], want)
		}
	}
}

// gone waits until the instance takes no more requests and its process is gone.
func (f *function) gone(t *testing.T) {
	t.Helper()
	select {
	case <-f.Done():
	case <-time.After(waitLimit):
		t.Fatal("the instance goes on")
	}
}

// watch records the effects of an attack on the neighbour.
type watch struct {
	mu      sync.Mutex // guards below
	asked   int
	slowest time.Duration
	failed  []error
}

// during runs an attack while the neighbour gets requests ten times a second and
// more. It, and a new instance of it, must answer then and afterwards.
func (p *platform) during(t *testing.T, attack func(t *testing.T)) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &watch{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx, p.neighbour)
	}()
	attack(t)
	cancel()
	<-done
	w.ask(t.Context(), p.neighbour)
	again := p.startNeighbour(t)
	w.ask(t.Context(), again)
	again.end()
	for _, err := range w.failed {
		t.Errorf("the neighbour: %v", err)
	}
	return w
}

// meanwhile has the neighbour answer some requests beside an attack that goes
// on until its time is over.
func (p *platform) meanwhile(t *testing.T, attack func(ctx context.Context)) {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	var both sync.WaitGroup
	w := &watch{}
	both.Go(func() { attack(ctx) })
	both.Go(func() { w.run(ctx, p.neighbour) })
	comes(t, "the neighbour has answered", func() bool { return w.answers() >= 20 })
	end(lateen.ErrFunctionTimeout)
	both.Wait()
	t.Logf("the slowest of %d answers of the neighbour took %v", w.asked, w.slowest)
	for _, err := range w.failed {
		t.Errorf("the neighbour: %v", err)
	}
}

// answers is how many there were.
func (w *watch) answers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked - len(w.failed)
}

func (w *watch) run(ctx context.Context, f *function) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w.ask(ctx, f)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watch) ask(ctx context.Context, f *function) {
	began := time.Now()
	body, err := f.try(ctx, fmt.Sprintf("/%d", w.asked))
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := fmt.Sprintf("/%d well", w.asked); err == nil && body != want {
		err = fmt.Errorf("it answered %q, want %q", body, want)
	}
	if err != nil {
		w.failed = append(w.failed, err)
	}
	w.asked++
	w.slowest = max(w.slowest, time.Since(began))
}

// until waits for a fact.
func until(t *testing.T, what string, fact func() bool) {
	t.Helper()
	if !comes(t, what, fact) {
		t.FailNow()
	}
}

// comes is until for any goroutine.
func comes(t *testing.T, what string, fact func() bool) bool {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(waitLimit)
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("it never comes that %s", what)
			return false
		}
	}
	return true
}

// closed reports whether c is.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// named returns the attackers on this host that have a word among their
// arguments, zombies not counted. It reads the arguments of no other process:
// one that forks and is not let run makes a reader of them wait.
func named(word string) []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		panic(err)
	}
	var pids []string
	for _, e := range entries {
		comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if name := strings.TrimSpace(string(comm)); err != nil || name != "attacker" && name != "exe" { // as it calls itself by /proc/self/exe
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && slices.Contains(strings.Split(string(line), "\x00"), word) {
			pids = append(pids, e.Name())
		}
	}
	return pids
}
