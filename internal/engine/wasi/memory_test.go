package wasi

import (
	"errors"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestAProjectLeavesMemoryForOthers(t *testing.T) {
	r := &room{all: 100}
	for n, step := range []struct {
		project lateen.ProjectID
		bytes   int64
		want    bool
	}{
		{"greedy", 50, true},
		{"greedy", 1, false},
		{"other", 30, true},
		{"third", 21, false},
		{"third", 20, true},
		{"greedy", -50, true},
		{"third", 30, true},
		{"other", 21, false},
		{"other", 20, true},
		{"other", -50, true},
		{"third", -50, true},
	} {
		if got := r.take(step.project, step.bytes); got != step.want {
			t.Errorf("step %d: %d bytes for %s: %t", n, step.bytes, step.project, got)
		}
	}
	if r.taken != 0 || len(r.has) != 0 {
		t.Errorf("%d bytes are left, %v", r.taken, r.has)
	}
}

func TestMemoryThatOthersHaveMayBeAskedForAgain(t *testing.T) {
	e := &Engine{room: room{all: 1 << 20}}
	i := &instance{engine: e, limit: 1 << 30, spec: lateen.FunctionSpec{Project: "prj_1"}}
	x := &exchange{instance: i, ctx: t.Context(), memory: &memory{instance: i}}
	b := x.memory.Allocate(0, 0)
	if len(b.Reallocate(512<<10)) != 512<<10 {
		t.Fatal("a project does not get half of it")
	}
	if b.Reallocate(513<<10) != nil {
		t.Error("a project gets more than half of it")
	}
	if err := x.explain(errors.New("it exited")); !errors.Is(err, lateen.ErrFunctionThrottled) {
		t.Errorf("the error is %v, want one that may be tried again", err)
	}
	x.memory.free()
	b.Free()
	if e.room.taken != 0 || len(e.room.has) != 0 || i.memory != 0 {
		t.Errorf("left are %d bytes of all and %d of its instance", e.room.taken, i.memory)
	}
}
