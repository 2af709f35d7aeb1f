package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/test/wasm"
)

// moduleBench is an engine with a function that was compiled: the module of
// LATEEN_TEST_MODULE, or one of some hundred bytes.
func moduleBench(b *testing.B, ahead bool) (*Engine, lateen.FunctionSpec) {
	trees := enginetest.Reachable(b)
	dir := filepath.Join(trees, "module")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	code := wasm.Hello("hello", "")
	if file := os.Getenv("LATEEN_TEST_MODULE"); file != "" {
		var err error
		if code, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.wasm"), code, 0o644); err != nil {
		b.Fatal(err)
	}
	e := open(b, enginetest.Fixture{TreesDir: trees, Logs: &enginetest.Logs{}, Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
		return filepath.Join(trees, string(tree)), nil
	}})
	spec := lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", "module"), Project: "prj_1", Deployment: "dpl_1", Name: "/module",
		Function: lateen.Function{Runtime: wasi.Runtime, Handler: "hello.wasm", Tree: "module"},
	}
	if !ahead {
		e.templates.mu.Lock()
		e.templates.limit = 0
		e.templates.mu.Unlock()
	}
	if err := e.Prepare(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	return e, spec
}

// BenchmarkModuleStart is from the decision to start a module that was compiled
// to the first byte of its first answer, out of a pool that is full, and from a
// process that has loaded it.
func BenchmarkModuleStart(b *testing.B) {
	b.Run("blank", func(b *testing.B) { benchmarkModuleStart(b, false) })
	b.Run("loaded", func(b *testing.B) { benchmarkModuleStart(b, true) })
}

func benchmarkModuleStart(b *testing.B, ahead bool) {
	e, spec := moduleBench(b, ahead)
	r := e.runner(modulesName)
	if ahead {
		e.templates.keepLoaded(r, spec)
	}
	var took, claim, load times
	var holds float64
	for b.Loop() {
		awaitPool(b, e)
		for ready := !ahead; !ready; pool.Pause(b.Context(), 5*time.Millisecond) {
			e.templates.mu.Lock()
			t := e.templates.loadedLocked(spec)
			if ready = t != nil && t.spare != nil; ready {
				holds = float64(t.holds.template) / (1 << 20)
			}
			e.templates.mu.Unlock()
		}
		began := time.Now()
		i, err := e.Start(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		get(b, i)
		took = append(took, time.Since(began))
		claim, load = append(claim, i.Started().Claim), append(load, i.Started().Load)
		end(i)
	}
	took.report(b)
	claim.of(b, "claim")
	load.of(b, "load")
	if ahead {
		b.ReportMetric(holds, "MiB/spare")
	}
}

// BenchmarkModuleMemory is what an instance holds that has answered once, at once
// and after two seconds, in which it gives back what loading took.
func BenchmarkModuleMemory(b *testing.B) {
	e, spec := moduleBench(b, false)
	var all []engine.Instance
	for b.Loop() {
		spec.Project = lateen.ProjectID(fmt.Sprint("prj_", len(all)))
		i, err := e.Start(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		get(b, i)
		all = append(all, i)
	}
	mean := func() float64 {
		var sum int64
		for _, i := range all {
			sum += i.Usage().Memory
		}
		return float64(sum) / float64(len(all)) / (1 << 20)
	}
	b.ReportMetric(mean(), "MiB/busy")
	pool.Pause(b.Context(), 2*time.Second)
	b.ReportMetric(mean(), "MiB/idle")
	b.ReportMetric(0, "ns/op")
	for _, i := range all {
		end(i)
	}
}
