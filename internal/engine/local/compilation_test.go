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

// smallModule is a module as function of a deployment, which is compiled at once.
func smallModule(r *rig) lateen.FunctionSpec {
	return moduleOf(r.tree("small", map[string]string{"program.wasm": string(wasm.Hello("hello", "a line of it\n"))}))
}

// moduleOf is the module of a tree as function of a deployment.
func moduleOf(tree lateen.Digest) lateen.FunctionSpec {
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey("dpl_1", "module"), Project: "prj_1", Deployment: "dpl_1", Name: "/module",
		Function: lateen.Function{Runtime: wasi.Runtime, Handler: "program.wasm", Tree: tree},
	}
}

// TestAModuleThatWaitsForAPlaceIsDroppedWithItsLastStart has two starts wait for a
// compilation that waits for a place.
func TestAModuleThatWaitsForAPlaceIsDroppedWithItsLastStart(t *testing.T) {
	r := newRig(t)
	r.modules.places.all = 1
	if err := r.modules.places.take(t.Context(), "prj_2"); err != nil {
		t.Fatal(err)
	}
	defer r.modules.places.give("prj_2")
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
			if c := r.modules.under[spec.Key]; c != nil {
				has = c.waiters
			}
			r.modules.mu.Unlock()
			r.modules.places.mu.Lock()
			waiting := len(r.modules.places.waiting)
			r.modules.places.mu.Unlock()
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
