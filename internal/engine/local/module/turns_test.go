package module

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen"
)

func TestAProjectLeavesTurnsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &turns{all: 4}
		came := make(chan lateen.ProjectID, 100)
		take := func(project lateen.ProjectID) {
			go func() {
				if err := all.take(t.Context(), project); err == nil {
					came <- project
				}
			}()
			synctest.Wait()
		}
		for range 10 {
			take("greedy")
		}
		if len(came) != 2 {
			t.Fatalf("one project has %d of 4 turns", len(came))
		}
		for n := range 3 {
			take(lateen.ProjectID(fmt.Sprint("late ", n)))
		}
		for _, want := range []lateen.ProjectID{"greedy", "greedy", "late 0", "late 1"} {
			if got := <-came; got != want {
				t.Errorf("project of the turn: %s, want %s", got, want)
			}
		}
		if len(came) != 0 {
			t.Error("too many turns")
		}
		all.give("greedy")
		if got := <-came; got != "late 2" {
			t.Errorf("project of the next turn: %s", got)
		}
		all.give("late 0")
		synctest.Wait()
		if len(came) != 0 {
			t.Error("no turn is left for a new project")
		}
		all.give("late 1")
		if got := <-came; got != "greedy" {
			t.Errorf("project of the last turn: %s", got)
		}
	})
}

func TestALateProjectGetsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &turns{all: 8}
		for n, want := range []int{4, 2, 1, 1} { // each project takes all it can get, and keeps it
			project := lateen.ProjectID(fmt.Sprint("greedy ", n))
			for range 20 {
				go func() { _ = all.take(t.Context(), project) }()
			}
			synctest.Wait()
			all.mu.Lock()
			if all.held[project] != want {
				t.Errorf("%s has %d turns, want %d", project, all.held[project], want)
			}
			all.mu.Unlock()
		}
	})
}

func TestACanceledWaitLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &turns{all: 1}
		if err := all.take(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := make(chan error)
		go func() { gone <- all.take(ctx, "b") }()
		synctest.Wait()
		cancel(why)
		if err := <-gone; !errors.Is(err, why) {
			t.Errorf("error: %v", err)
		}
		all.give("a")
		if err := all.take(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		all.give("c")
		if all.taken != 0 || len(all.held) != 0 || len(all.waiting) != 0 {
			t.Errorf("remaining turns: %+v", all)
		}
	})
}

// Compilations at their limits leave half of a small host to other processes.
func TestCompilationsTakeNoMoreThanHalfOfAHost(t *testing.T) {
	for total, want := range map[int64]int{512 << 20: 2, 1 << 30: 2, 4 << 30: 2, 6 << 30: 3, 8 << 30: 4, 24 << 30: 4, math.MaxInt64: 4} {
		places, memory := compileWithin(total)
		if places != want || int64(places)*memory > total/2 || memory < min(total/4, 1<<30) {
			t.Errorf("with %d bytes: %d compilations of %d bytes each, want %d", total, places, memory, want)
		}
	}
}
