package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

func TestARequestUsesThePrewarmedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, freezes: true}
		h := run(t, fleet.Options{Engine: e})
		synctest.Wait()
		h.Prewarm(spec("/a"))
		h.Prewarm(spec("/a"))
		time.Sleep(10 * time.Second)
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartPrewarmed || inv.Queue != 0 {
			t.Errorf("the first request: %+v, want it prewarmed at once", inv)
		}
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartWarm {
			t.Errorf("the second is %s, want warm", inv.Start)
		}
		if starts, _ := e.counts(); starts != 1 {
			t.Errorf("%d starts, want one", starts)
		}
	})
}

func TestARequestWaitsForTheRemainderOfAPrewarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		synctest.Wait()
		h.Prewarm(spec("/a"))
		time.Sleep(900 * time.Millisecond)
		inv := h.ask(spec("/a"))
		if inv.Queue+inv.Claim+inv.Load != 100*time.Millisecond || inv.Start != lateen.StartBlank {
			t.Errorf("got %+v, want 100ms of a blank start", inv)
		}
	})
}

func TestAPrewarmThawsAFrozenInstanceForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, freezes: true, thawTime: 20 * time.Millisecond}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Hour})
		h.ask(spec("/a"))
		time.Sleep(time.Minute)
		if !e.last().isFrozen() {
			t.Fatal("an idle instance is not frozen")
		}
		h.Prewarm(spec("/a"))
		time.Sleep(2 * time.Second)
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartWarm || inv.Claim != 0 {
			t.Errorf("the request after the thaw: %+v, want it warm without delay", inv)
		}
		time.Sleep(time.Minute)
		h.Prewarm(spec("/a"))
		time.Sleep(2 * time.Second)
		if e.last().isFrozen() {
			t.Error("it was frozen again too early")
		}
		time.Sleep(2 * time.Second)
		if !e.last().isFrozen() {
			t.Error("it was not frozen again although there was no request")
		}
		h.Prewarm(spec("/a"))
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartThawed || inv.Claim > 20*time.Millisecond {
			t.Errorf("the request during the thaw: %+v, want it to wait for the remainder", inv)
		}
		if starts, _ := e.counts(); starts != 1 {
			t.Errorf("%d starts, want one", starts)
		}
	})
}

func TestAFloodOfPrewarmsThawsNoMoreThanItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond, freezes: true}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Hour, Processors: 64, Total: 1000})
		for n := range 40 {
			h.ask(spec(fmt.Sprintf("/%d", n)))
		}
		time.Sleep(time.Minute)
		for n := range 40 {
			h.Prewarm(spec(fmt.Sprintf("/%d", n)))
		}
		synctest.Wait()
		awake := 0
		for _, i := range e.instances {
			if !i.isFrozen() {
				awake++
			}
		}
		if awake != 10 {
			t.Errorf("%d are thawed, want the budget of 10", awake)
		}
	})
}

func TestAnInstanceThatAPrewarmCannotThawIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond, freezes: true}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Hour})
		h.ask(spec("/a"))
		time.Sleep(time.Minute)
		e.mu.Lock()
		e.thawFailures = 1
		e.mu.Unlock()
		h.Prewarm(spec("/a"))
		time.Sleep(time.Second)
		if _, running := e.counts(); running != 0 {
			t.Errorf("%d running, want none", running)
		}
		e.breaches = nil // a stop of a frozen instance is no breach here
		h.ask(spec("/a"))
	})
}

func TestAPrewarmedInstanceWithoutRequestsStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		synctest.Wait()
		h.Prewarm(spec("/a"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if starts, running := e.counts(); starts != 1 || running != 0 {
			t.Errorf("%d started and %d running two minutes later, want one and none", starts, running)
		}
		if got := h.Stats(); got != (fleet.Stats{Known: 1}) {
			t.Errorf("left behind: %+v", got)
		}
	})
}

func TestPrewarmsHaveABudgetOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond}
		h := run(t, fleet.Options{Engine: e, Processors: 64, Total: 1000})
		synctest.Wait()
		prewarm := func(projects, functions int) {
			for p := range projects {
				for n := range functions {
					id := lateen.ProjectID(fmt.Sprintf("prj_%d", p))
					h.Prewarm(specOf(id, lateen.DeploymentID("dpl_"+id), fmt.Sprintf("/%d", n)))
				}
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		prewarm(1, 100)
		if starts, _ := e.counts(); starts != 10 {
			t.Errorf("a flood of one project started %d, want its budget of 10", starts)
		}
		prewarm(50, 10)
		if starts, _ := e.counts(); starts != 40 {
			t.Errorf("a flood of all projects started %d, want the budget of 40", starts)
		}
		if inv := h.ask(specOf("prj_60", "dpl_60", "/a")); inv.Start != lateen.StartBlank {
			t.Errorf("the start of a request is %s, want blank", inv.Start)
		}
	})
}

func TestPrewarmsTakeNoCapacityFromRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond}
		h := run(t, fleet.Options{Engine: e, Total: 8})
		for n := range 7 {
			h.ask(spec(fmt.Sprintf("/%d", n)))
		}
		h.Prewarm(spec("/ahead"))
		time.Sleep(time.Second)
		if starts, running := e.counts(); starts != 7 || running != 7 {
			t.Errorf("%d started, %d running; want the 7 with requests", starts, running)
		}
		h.ask(spec("/8"))
		h.ask(spec("/9"))
		synctest.Wait()
		if _, running := e.counts(); running != 8 {
			t.Errorf("%d running, want 8", running)
		}
	})
}

func TestARequestSucceedsAfterAFailedPrewarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{failures: 2, failWith: errors.New("no worker")}
		h := run(t, fleet.Options{Engine: e})
		synctest.Wait()
		h.Prewarm(spec("/a"))
		time.Sleep(time.Second)
		h.ask(spec("/a"))
	})
}

func TestFunctionsArePreparedOneAtATimeAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int64
		e := &fakeEngine{prepare: func(ctx context.Context, _ lateen.FunctionSpec) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			all.Add(1)
			select {
			case <-time.After(time.Second):
				return errors.New("it threw")
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		h := run(t, fleet.Options{Engine: e})
		for range 3 {
			for n := range 5 {
				h.Prepare(spec(fmt.Sprintf("/%d", n)))
			}
		}
		time.Sleep(10 * time.Second)
		if all.Load() != 5 || most.Load() != 1 {
			t.Errorf("%d prepared, %d at once; want 5, one after the other", all.Load(), most.Load())
		}
		for n := range 1000 {
			h.Prepare(spec(fmt.Sprintf("/many-%d", n)))
		}
		h.stop() // during a preparation
	})
}

// preparing returns a fleet whose engine takes a second to prepare a function, and a
// function that returns the order of the preparations.
func preparing(t *testing.T, e *fakeEngine) (h *harness, order func() []string) {
	var mu sync.Mutex
	var names []string
	e.prepare = func(ctx context.Context, s lateen.FunctionSpec) error {
		mu.Lock()
		names = append(names, s.Name)
		mu.Unlock()
		select {
		case <-time.After(time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return run(t, fleet.Options{Engine: e}), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(names)
	}
}

func TestProjectsArePreparedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, order := preparing(t, &fakeEngine{})
		for n := range 2000 { // more than the queue holds
			h.Prepare(specOf("prj_much", "dpl_1", fmt.Sprintf("/much-%d", n)))
		}
		time.Sleep(500 * time.Millisecond)
		h.Prepare(specOf("prj_little", "dpl_2", "/little"))
		h.Prepare(specOf("prj_less", "dpl_3", "/less"))
		time.Sleep(4 * time.Second)
		if diff := cmp.Diff([]string{"/much-0", "/much-1", "/little", "/less", "/much-2"}, order()); diff != "" {
			t.Errorf("order of the preparations (-want +got):\n%s", diff)
		}
	})
}

func TestMinimumInstancesStartWithoutWaitingForPreparations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 100 * time.Millisecond}
		h, order := preparing(t, e)
		h.Prepare(spec("/first"))
		produce := func(d lateen.DeploymentID) {
			s := specOf(lateen.ProjectID("prj_"+d), d, "/always")
			s.Function.MinInstances = 1
			h.Produce(s.Project, d, []lateen.FunctionSpec{s})
		}
		produce("dpl_early") // before Run
		synctest.Wait()
		produce("dpl_late")
		time.Sleep(500 * time.Millisecond)
		if _, running := e.counts(); running != 2 {
			t.Errorf("%d instances run, want both", running)
		}
		if diff := cmp.Diff([]string{"/first"}, order()); diff != "" {
			t.Errorf("prepared functions (-want +got):\n%s", diff)
		}
	})
}
