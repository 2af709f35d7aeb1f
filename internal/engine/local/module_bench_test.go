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
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/test/wasm"
)

// moduleBench is an engine with a function that was compiled: the module of
// LATEEN_TEST_MODULE, or one of some hundred bytes.
func moduleBench(b *testing.B) (*Engine, lateen.FunctionSpec) {
	trees := enginetest.Reachable(b)
	dir := filepath.Join(trees, "module")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	code := wasm.Hello("hello")
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
	if err := e.Prepare(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	return e, spec
}

// BenchmarkModuleStart is from the decision to start a module that was compiled
// to the first byte of its first answer, out of a pool that is full.
func BenchmarkModuleStart(b *testing.B) {
	e, spec := moduleBench(b)
	var took, claim, load times
	for b.Loop() {
		awaitPool(b, e)
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
}

// BenchmarkModuleMemory is what an instance holds that has answered once.
func BenchmarkModuleMemory(b *testing.B) {
	e, spec := moduleBench(b)
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
	var sum int64
	for _, i := range all {
		sum += i.Usage().Memory
	}
	b.ReportMetric(float64(sum)/float64(len(all))/(1<<20), "MiB/instance")
	b.ReportMetric(0, "ns/op")
	for _, i := range all {
		end(i)
	}
}
