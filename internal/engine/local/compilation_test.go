package local

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/test/wasm"
)

// smallModule returns a module that compiles immediately, as a function.
func smallModule(r *rig) lateen.FunctionSpec {
	return moduleOf(r.tree("small", map[string]string{"program.wasm": string(wasm.Hello("hello", "a line of it\n"))}))
}

// moduleOf returns the module of a tree as a function.
func moduleOf(tree lateen.Digest) lateen.FunctionSpec {
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", "module"), Project: "prj_1", Deployment: "dpl_1", Name: "/module",
		Function: lateen.Function{Runtime: wasi.Runtime, Handler: "program.wasm", Tree: tree},
	}
}

// TestACompilationThatWaitsForASlotEndsWithItsLastStart runs two starts that wait
// for a compilation without a slot.
func TestACompilationThatWaitsForASlotEndsWithItsLastStart(t *testing.T) {
	r := newRig(t)
	r.modules.slots.all = 1
	if err := r.modules.slots.take(t.Context(), "prj_2"); err != nil {
		t.Fatal(err)
	}
	defer r.modules.slots.give("prj_2")
	spec := smallModule(r)
	ended := make(chan error, 2)
	wait := func() context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- r.Prepare(ctx, spec) }()
		return cancel
	}
	counts := func(starts, compilations int) {
		for {
			r.modules.mu.Lock()
			has := 0
			if c := r.modules.running[spec.Key]; c != nil {
				has = c.waiters
			}
			r.modules.mu.Unlock()
			r.modules.slots.mu.Lock()
			waiting := len(r.modules.slots.waiting)
			r.modules.slots.mu.Unlock()
			if has == starts && waiting == compilations {
				return
			}
			runtime.Gosched()
		}
	}
	first := wait()
	counts(1, 1)
	second := wait()
	counts(2, 1)
	first()
	counts(1, 1)
	second()
	counts(0, 0)
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
