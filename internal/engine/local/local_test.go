package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

func TestMain(m *testing.M) {
	relay.Main()
	wasi.Main()
	os.Exit(m.Run())
}

// open returns an engine that runs until the test ends.
func open(t testing.TB, f enginetest.Fixture) *Engine {
	t.Helper()
	return running(t, Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), Trees: f.Trees, TreesDir: f.TreesDir, Logs: f.Logs,
		Toolchain: enginetest.Toolchain(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

// running returns an engine with these options that runs until the test ends.
func running(t testing.TB, o Options) *Engine {
	t.Helper()
	o.TimeoutFactor = slowness
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if missing := e.Missing(); missing != "" {
		t.Log(missing)
	}
	for _, major := range nodeVersions() { // downloads exceed the timeout of a start
		if _, err := e.o.Toolchain.Node(t.Context(), major); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t testing.TB, f enginetest.Fixture) engine.Engine { return open(t, f) })
}

func TestRuntimesMapToVersionsOfNode(t *testing.T) {
	for runtime, want := range map[string]int{"nodejs24.x": 24, "nodejs22.x": 22, "nodejs20.x": 22, "nodejs12.x": 22, "edge": 24} {
		if major, notice, err := nodeFor(runtime); err != nil || major != want || (notice != "") != (runtime == "nodejs20.x" || runtime == "nodejs12.x") {
			t.Errorf("%s: Node.js %d, %q, %v; want %d", runtime, major, notice, err, want)
		}
	}
	for _, runtime := range []string{"", "nodejs", "nodejs.x", "nodejs25.x", "nodejs22", "python3.12", "nodejs-1.x.x"} {
		if _, _, err := nodeFor(runtime); !errors.Is(err, lateen.ErrFunctionRuntime) {
			t.Errorf("%q: %v, want ErrFunctionRuntime", runtime, err)
		}
	}
}

// fixture returns the options that New requires.
func fixture(t *testing.T) Options {
	t.Helper()
	return Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: enginetest.Reachable(t), Logs: &enginetest.Logs{}, Toolchain: enginetest.Toolchain(t),
		Trees: func(context.Context, lateen.Digest) (string, error) { return "", fs.ErrNotExist },
	}
}

func TestNewRequiresOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"Dir": func(o *Options) { o.Dir = "" }, "Trees": func(o *Options) { o.Trees = nil }, "TreesDir": func(o *Options) { o.TreesDir = "" },
		"Toolchain": func(o *Options) { o.Toolchain = nil }, "Logs": func(o *Options) { o.Logs = nil },
	} {
		o := fixture(t)
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("New succeeds without %s", name)
		}
	}
}

func TestOtherUsersOfTheHostCannotReadFunctions(t *testing.T) {
	o := fixture(t)
	o.Archives = filepath.Join(enginetest.Reachable(t), "archives")
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	want := fs.FileMode(0o755) // guests without mounts read them as other users
	if e.host.Sandbox.PrivateTmp() {
		want = 0o700
	}
	for _, dir := range []string{o.TreesDir, o.Archives} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", dir, info.Mode(), err, want)
		}
	}
}

func TestMissingFilesAreNoFaultOfTheFunction(t *testing.T) {
	e, err := New(fixture(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Start(t.Context(), enginetest.Spec("exports", "cjs.js", nil))
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, lateen.ErrFunctionFailed) {
		t.Errorf("error: %v", err)
	}
}

func newSuite(t testing.TB) (*enginetest.Suite, *Engine) {
	t.Helper()
	var e *Engine
	s := enginetest.NewSuite(t, func(t testing.TB, f enginetest.Fixture) engine.Engine {
		e = open(t, f)
		return e
	})
	return s, e
}

func TestEndOfRunLeavesNothingBehind(t *testing.T) {
	var pids []int
	var dir string
	t.Run("engine", func(t *testing.T) {
		t.TempDir()        // removed last
		t.Cleanup(func() { // runs after the engine has ended
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v remains, %v", left, err)
			}
		})
		s, e := newSuite(t)
		dir = e.host.Sockets.Name()
		for _, handler := range []string{"stubborn.js", "children.js"} {
			i, err := s.Engine.Start(t.Context(), enginetest.Spec("node", handler, nil))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, i.(*instance.Instance).Sandboxed.ID())
		}
		if sockets, _ := os.ReadDir(dir); len(sockets) < 2 {
			t.Errorf("%d sockets", len(sockets))
		}
	})
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d remains (%v)", pid, err)
		}
	}
}

// TestDeathOfTheEngineEndsItsProcesses kills the process of an engine with SIGKILL.
func TestDeathOfTheEngineEndsItsProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.CommandContext(t.Context(), self, "-test.run=^TestHostOfAnEngine$", "-test.v")
	host.Env = append(os.Environ(), "LATEEN_TEST_HOST=1")
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.StdinPipe(); err != nil { // the host runs until this closes
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 3 && lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "guest "); found {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	if len(pids) < 3 {
		t.Fatalf("processes of the host: %v", pids)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	host.Wait()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(waitLimit)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			select {
			case <-ticker.C:
			case <-deadline:
				t.Fatalf("process %d outlives its engine", pid)
			}
		}
	}
}

// zombie reports whether a process has ended and is only waiting for its parent,
// which this test does not control.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// TestHostOfAnEngine is the process that TestDeathOfTheEngineEndsItsProcesses kills.
func TestHostOfAnEngine(t *testing.T) {
	if os.Getenv("LATEEN_TEST_HOST") == "" {
		t.Skip("runs in a process of its own")
	}
	s, e := newSuite(t)
	i, err := s.Engine.Start(t.Context(), enginetest.Spec("node", "stubborn.js", nil))
	if err != nil {
		t.Fatal(err)
	}
	busy := i.(*instance.Instance)
	loading, err := e.host.Boot(t.Context(), process.BootOptions{Runner: e.node(newestNode)})
	if err != nil {
		t.Fatal(err)
	}
	blank, _, err := e.runner(nodeName(newestNode)).Blanks.Claim(t.Context(), pool.Tenant{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*process.Process{busy.Process, loading, blank} {
		fmt.Printf("guest %d\n", w.Sandboxed.ID())
	}
	io.Copy(io.Discard, os.Stdin)
}
