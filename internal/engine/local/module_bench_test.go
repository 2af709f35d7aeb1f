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

// moduleBench returns an engine with a compiled function: the module of
// LATEEN_TEST_MODULE, or one of some hundred bytes.
func moduleBench(b *testing.B, ready bool) (*Engine, lateen.FunctionSpec) {
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
	if !ready {
		e.templates.SetLimit(0)
	}
	if err := e.Prepare(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	return e, spec
}

// BenchmarkModuleStart measures from the decision to start a compiled module to the
// first byte of its first response, with a full pool, and from its standby.
func BenchmarkModuleStart(b *testing.B) {
	b.Run("blank", func(b *testing.B) { benchmarkModuleStart(b, false) })
	b.Run("loaded", func(b *testing.B) { benchmarkModuleStart(b, true) })
}

func benchmarkModuleStart(b *testing.B, ready bool) {
	e, spec := moduleBench(b, ready)
	r := e.runner(modulesName)
	if ready {
		e.modules.KeepStandby(r, spec)
	}
	var took, claim, load times
	var memory float64
	for b.Loop() {
		awaitPool(b, e)
		for ready := !ready; !ready; pool.Pause(b.Context(), 5*time.Millisecond) {
			t := e.templates.List()[0]
			own, _ := e.templates.Memory(t)
			ready, memory = e.templates.Standby(t) != nil, float64(own)/(1<<20)
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
	if ready {
		b.ReportMetric(memory, "MiB/spare")
	}
}

// BenchmarkModuleMemory measures the memory of an instance after one response,
// immediately and after two seconds, in which it releases memory that loading
// needed.
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
