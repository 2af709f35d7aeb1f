package wasi

import (
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
