package module

import (
	"context"
	"slices"
	"sync"

	"github.com/lateen-dev/lateen"
)

// turns bounds the number of concurrent compilations: only the end of a compilation
// or its time limit frees a turn. A project gets at most as many turns as are free
// for others, so a project with many modules leaves some for projects that come
// later. Among the waiting projects, the one with the fewest turns is next.
type turns struct {
	all int

	mu      sync.Mutex // guards the fields below
	taken   int
	held    map[lateen.ProjectID]int // turns by project, without zeros
	waiting []*turn                  // in order of arrival
}

// turn is a compilation that waits for its turn.
type turn struct {
	project lateen.ProjectID
	granted chan struct{} // closed when the compilation has its turn
}

// take returns when a module of a project may be compiled, or when ctx has ended.
func (t *turns) take(ctx context.Context, project lateen.ProjectID) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w := &turn{project, make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.serveLocked()
	t.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.waiting); n > 0 {
		t.waiting = slices.DeleteFunc(t.waiting, func(other *turn) bool { return other == w })
		if len(t.waiting) < n {
			return context.Cause(ctx)
		}
	}
	t.giveLocked(project) // the turn came at the same moment
	return context.Cause(ctx)
}

// give returns a turn.
func (t *turns) give(project lateen.ProjectID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.giveLocked(project)
}

func (t *turns) giveLocked(project lateen.ProjectID) {
	t.taken--
	if t.held[project]--; t.held[project] == 0 {
		delete(t.held, project)
	}
	t.serveLocked()
}

// serveLocked hands out the free turns.
func (t *turns) serveLocked() {
	for t.taken < t.all {
		next := -1
		for i, w := range t.waiting {
			if has := t.held[w.project]; (has == 0 || has < t.all-t.taken) && (next < 0 || has < t.held[t.waiting[next].project]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		w := t.waiting[next]
		t.waiting = slices.Delete(t.waiting, next, next+1)
		if t.held == nil {
			t.held = map[lateen.ProjectID]int{}
		}
		t.held[w.project]++
		t.taken++
		close(w.granted)
	}
}
