package module

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/process/processtest"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/test/wasm"
)

func TestMain(m *testing.M) {
	wasi.Main()
	os.Exit(m.Run())
}

// workshop has one slot for compilations, and one function.
type workshop struct {
	*Modules

	runner *process.Runner
	spec   lateen.FunctionSpec
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	dir := enginetest.Reachable(t)
	if err := os.WriteFile(filepath.Join(dir, "program.wasm"), wasm.Hello("hello", "a line of it\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	archives, err := codecache.Open(enginetest.Reachable(t), 1<<30, "test")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &process.Runner{Name: "WebAssembly", Compiles: true, Offline: true, Find: func(context.Context) (process.Command, error) {
		return process.Command{Path: self, Args: []string{wasi.Argument}, Mounts: []sandbox.Mount{{Host: self, Guest: sandbox.MountRoot + "/runtime/relay"}}}, nil
	}}
	h := processtest.Open(t, enginetest.Reachable(t))
	r.Blanks = blanksOf(t, h, r)
	g := instance.NewGroup(instance.Shared{
		Host: h, Burst: &pool.Burst{}, LoadTimeout: 30 * time.Second,
		Trees: func(context.Context, lateen.Digest) (string, error) { return dir, nil },
	})
	ms := New(g, Options{Archives: archives, Tags: &process.Tags{}})
	ms.slots.all = 1
	return &workshop{ms, r, lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", "module"), Project: "prj_1", Deployment: "dpl_1", Name: "/module",
		Function: lateen.Function{Runtime: wasi.Runtime, Handler: "program.wasm"},
	}}
}

// blanksOf returns a pool that boots processes for claims only.
func blanksOf(t *testing.T, h *process.Host, r *process.Runner) *pool.Pool[*process.Process] {
	t.Helper()
	blanks := pool.New(pool.Options[*process.Process]{
		Floor: -1, Processors: 1, Runtimes: []string{r.Name}, Burst: &pool.Burst{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Find: func(context.Context, string) error { return nil },
		Boot: func(ctx context.Context, _ string, background bool, spawned func(*process.Process)) (*process.Process, error) {
			return h.Boot(ctx, process.BootOptions{Runner: r, Background: background, Spawned: spawned})
		},
		Forks: func(string) bool { return false }, Reserved: func() int64 { return 0 }, Spare: func() int64 { return 1 << 30 },
	})
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { blanks.Run(ctx) })
	t.Cleanup(func() {
		end()
		running.Wait()
	})
	return blanks.Of(r.Name)
}

// occupy makes another compilation take the slot.
func (w *workshop) occupy(t *testing.T) {
	t.Helper()
	if err := w.slots.take(t.Context(), "prj_2"); err != nil {
		t.Fatal(err)
	}
}

// awaitWaiters waits until this many callers wait for the compilation of the function,
// and this many compilations for a slot.
func (w *workshop) awaitWaiters(callers, compilations int) {
	for {
		w.mu.Lock()
		has := 0
		if c := w.running[w.spec.Key]; c != nil {
			has = c.waiters
		}
		w.mu.Unlock()
		w.slots.mu.Lock()
		waiting := len(w.slots.waiting)
		w.slots.mu.Unlock()
		if has == callers && waiting == compilations {
			return
		}
		runtime.Gosched()
	}
}

// TestACompilationThatWaitsForASlotEndsWithItsLastStart has two callers wait for a
// compilation without a slot.
func TestACompilationThatWaitsForASlotEndsWithItsLastStart(t *testing.T) {
	w := newWorkshop(t)
	w.occupy(t)
	ended := make(chan error, 2)
	wait := func() context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- w.Compile(ctx, w.runner, w.spec, false) }()
		return cancel
	}
	first := wait()
	w.awaitWaiters(1, 1)
	second := wait()
	w.awaitWaiters(2, 1)
	first()
	w.awaitWaiters(1, 1)
	second()
	w.awaitWaiters(0, 0)
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestAModuleIsCompiledOnceForAllItsStarts has a start and a preparation wait for one
// compilation; the start is canceled.
func TestAModuleIsCompiledOnceForAllItsStarts(t *testing.T) {
	w := newWorkshop(t)
	w.occupy(t)
	why := errors.New("the request took too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp, prepared := make(chan error, 1), make(chan error, 1)
	go func() { gaveUp <- w.Compile(ctx, w.runner, w.spec, true) }()
	w.awaitWaiters(1, 1)
	w.mu.Lock()
	c := w.running[w.spec.Key]
	w.mu.Unlock()
	go func() { prepared <- w.Compile(t.Context(), w.runner, w.spec, false) }()
	w.awaitWaiters(2, 1)
	cancel(why)
	if err := <-gaveUp; !errors.Is(err, why) {
		t.Errorf("canceled start: %v", err)
	}
	w.slots.give("prj_2")
	if err := <-prepared; err != nil {
		t.Errorf("preparation: %v", err)
	}
	select {
	case <-c.done:
		if c.err != nil {
			t.Errorf("compilation of the canceled start: %v", c.err)
		}
	default:
		t.Error("the preparation made a compilation of its own")
	}
	if !w.archives.Has(w.spec.Key) || len(w.running) > 0 {
		t.Errorf("code cached: %v, %d compilations are left", w.archives.Has(w.spec.Key), len(w.running))
	}
}

// TestTheEndEndsCompilations ends the modules of an engine while a compilation waits.
func TestTheEndEndsCompilations(t *testing.T) {
	w := newWorkshop(t)
	w.occupy(t)
	ended := make(chan error, 1)
	go func() { ended <- w.Compile(t.Context(), w.runner, w.spec, false) }()
	w.awaitWaiters(1, 1)
	w.End()
	if err := <-ended; !errors.Is(err, sandbox.ErrEnded) {
		t.Errorf("waiting compilation: %v", err)
	}
	if err := w.Compile(t.Context(), w.runner, w.spec, false); !errors.Is(err, sandbox.ErrEnded) {
		t.Errorf("later compilation: %v", err)
	}
}

func TestAFailedCompilationReturnsItsSlot(t *testing.T) {
	w := newWorkshop(t)
	w.spec.Function.Handler = "none.wasm"
	for range 2 {
		if err := w.Compile(t.Context(), w.runner, w.spec, true); !errors.Is(err, lateen.ErrFunctionFailed) {
			t.Errorf("error: %v, want ErrFunctionFailed", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	if len(w.running) > 0 || w.slots.taken > 0 {
		t.Errorf("%d compilations and %d slots remain", len(w.running), w.slots.taken)
	}
}
