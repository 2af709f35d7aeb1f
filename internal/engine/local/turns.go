package local

import (
	"context"
	"slices"
	"sync"

	"github.com/lateen-dev/lateen"
)

// turns bounds how many modules are compiled at once: nothing but its end, or the
// time that it may take, ends a compilation. A project gets no more turns than
// are left for others, so that however many it asks for, a few projects that come
// later find some, and of projects that wait the one with the fewest turns is next.
type turns struct {
	all int

	mu      sync.Mutex // guards below
	taken   int
	has     map[lateen.ProjectID]int // without those that have none
	waiting []*turn                  // in order of arrival
}

// turn is a compilation that waits for its own.
type turn struct {
	project lateen.ProjectID
	comes   chan struct{} // closed once it has it
}

// take returns once a module of a project may be compiled, or ctx has ended.
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
	case <-w.comes:
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
	t.giveLocked(project) // it came at the same moment
	return context.Cause(ctx)
}

// give ends a turn.
func (t *turns) give(project lateen.ProjectID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.giveLocked(project)
}

func (t *turns) giveLocked(project lateen.ProjectID) {
	t.taken--
	if t.has[project]--; t.has[project] == 0 {
		delete(t.has, project)
	}
	t.serveLocked()
}

// serveLocked gives out the turns that there are.
func (t *turns) serveLocked() {
	for t.taken < t.all {
		next := -1
		for i, w := range t.waiting {
			if has := t.has[w.project]; (has == 0 || has < t.all-t.taken) && (next < 0 || has < t.has[t.waiting[next].project]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		w := t.waiting[next]
		t.waiting = slices.Delete(t.waiting, next, next+1)
		if t.has == nil {
			t.has = map[lateen.ProjectID]int{}
		}
		t.has[w.project]++
		t.taken++
		close(w.comes)
	}
}
