// Package wake_test wakes functions on real processes while these end, crash or
// restart.
package wake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

func TestMain(m *testing.M) {
	relay.Main()
	wasi.Main()
	os.Exit(m.Run())
}

// moody answers, once it has waited and computed for as long as it is told, and
// sometimes ends its process right behind the answer.
const moody = `module.exports = async (req, res) => {
  const { wait, compute } = req.query;
  if (wait) await new Promise((resolve) => setTimeout(resolve, Math.random() * wait));
  for (const end = performance.now() + Number(compute ?? 0); performance.now() < end;);
  res.end('ok');
  if (req.url.includes('exit')) setImmediate(() => process.exit(1));
};
`

// realEngine is an engine of processes, as long as the test.
func realEngine(t *testing.T, pool int) *local.Engine {
	t.Helper()
	trees := enginetest.Reachable(t)
	if err := errors.Join(os.Mkdir(filepath.Join(trees, "moody"), 0o755), os.WriteFile(filepath.Join(trees, "moody", "index.js"), []byte(moody), 0o644)); err != nil {
		t.Fatal(err)
	}
	tools := enginetest.Toolchain(t)
	e, err := local.New(local.Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: trees, Logs: &enginetest.Logs{}, Toolchain: tools, Pool: pool, TimeoutFactor: 10, // with the race detector, on a busy machine
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(trees, string(tree)), nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tools.Node(t.Context(), 24); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// specOf is a moody function of a deployment.
func specOf(project lateen.ProjectID, d lateen.DeploymentID, name string) lateen.FunctionSpec {
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey(d, name), Team: "team_1", Project: project, Deployment: d, Name: name,
		Function: lateen.Function{Runtime: "nodejs24.x", Handler: "index.js", Tree: "moody", LauncherType: "Nodejs", AddHelpers: true},
	}
}

// run runs a fleet until the result is called.
func run(t *testing.T, o fleet.Options) (f *fleet.Fleet, stop func()) {
	t.Helper()
	f = fleet.New(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// Every request that wakes a function is answered, regardless of the ends of
// instances.
func TestEveryRequestThatThawsOrStartsAnInstanceIsAnswered(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of processes")
	}
	const visitors, wakes = 3, 40
	f, stop := run(t, fleet.Options{
		Engine: realEngine(t, 4), Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Total: 6,
		KeepAlive: 30 * time.Millisecond, Idle: autoscale.Idle{Freeze: 5 * time.Millisecond, Reclaim: 5 * time.Millisecond},
	})
	var failed atomic.Int64
	var mu sync.Mutex
	kinds := map[lateen.StartKind][]time.Duration{}
	var all sync.WaitGroup
	for v := range visitors {
		all.Go(func() {
			project := lateen.ProjectID(fmt.Sprintf("prj_%d", v%3))
			for n := range wakes {
				d := lateen.DeploymentID(fmt.Sprintf("dpl_%d_%d", v%3, n/10)) // deployed again from time to time
				s := specOf(project, d, fmt.Sprintf("/%d", n%5))
				begun := time.Now()
				kind, err := visit(t, f, s, n%4 == 0)
				if err != nil {
					failed.Add(1)
					t.Errorf("visitor %d, wake %d (%s): %v", v, n, kind, err)
				}
				mu.Lock()
				kinds[kind] = append(kinds[kind], time.Since(begun))
				mu.Unlock()
				switch {
				case n%10 == 9:
					f.Forget(d)
				case n%7 == 0:
					f.Prewarm(specOf(project, d, "/4"))
				}
				pause(t, time.Duration(n%6)*10*time.Millisecond)
			}
		})
	}
	all.Wait()
	stop()
	for kind, took := range kinds {
		slices.Sort(took)
		t.Logf("%s: %d, p50 %s, max %s", kind, len(took), took[len(took)/2], took[len(took)-1])
	}
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d wakes failed", n, visitors*wakes)
	}
	if got := f.Stats(); got.Running+got.Starting+got.InFlight+got.Waiting != 0 {
		t.Errorf("left behind: %+v", got)
	}
}

// A blank process that dies once it is taken, before it has the function, costs
// the visitor time and nothing else.
func TestABlankProcessThatEndsDuringAStartIsReplaced(t *testing.T) {
	e := realEngine(t, 1)
	f, stop := run(t, fleet.Options{Engine: e, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	defer stop()
	await(t, "a blank process", func() bool { return e.Pools().Ready == 1 && e.Pools().Booting == 0 })
	held := descendants(t, os.Getpid())
	for _, pid := range held {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
	}
	before := e.Pools().Blank
	type answer struct {
		kind lateen.StartKind
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		kind, err := visit(t, f, specOf("prj_1", "dpl_1", "/a"), false)
		got <- answer{kind, err}
	}()
	await(t, "a claim", func() bool { return e.Pools().Blank > before })
	select {
	case a := <-got:
		t.Fatalf("answered by a process that stands still: %+v", a)
	case <-time.After(20 * time.Millisecond):
	}
	for _, pid := range held {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if a := <-got; a.err != nil {
		t.Errorf("by %s: %v", a.kind, a.err)
	}
}

// descendants are the processes that pid has started, and those that they have.
func descendants(t *testing.T, pid int) (all []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lists {
		text, _ := os.ReadFile(name) // of a thread that may have ended
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		pause(t, 5*time.Millisecond)
	}
}

// visit sends a request to s, after which s may end its process.
func visit(t *testing.T, f *fleet.Fleet, s lateen.FunctionSpec, exit bool) (lateen.StartKind, error) {
	query := ""
	if exit {
		query = "exit"
	}
	return ask(t, f, s, query)
}

// ask sends a request with a query to s and returns the kind of start.
func ask(t *testing.T, f *fleet.Fleet, s lateen.FunctionSpec, query string) (lateen.StartKind, error) {
	ctx := lateen.WithRequestID(t.Context(), lateen.NewID[lateen.RequestID]("req_", time.Now()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://site/?"+query, nil)
	if err != nil {
		return "", err
	}
	var inv lateen.Invocation
	resp, err := f.Invoke(ctx, s, req, &inv)
	if err != nil {
		return inv.Start, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (string(b) != "ok" || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%d %q", resp.StatusCode, b)
	}
	return inv.Start, err
}

// pause waits on the real clock, as visitors do.
func pause(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
