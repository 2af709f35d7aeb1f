package fleet_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

func (h *harness) phases() (phases []lateen.Phase) {
	for _, s := range h.Functions("") {
		for _, i := range s.Instances {
			phases = append(phases, i.Phase)
		}
	}
	return phases
}

// wantPhase checks that there is one instance, in the phase want.
func (h *harness) wantPhase(want lateen.Phase) {
	h.t.Helper()
	synctest.Wait()
	if got := h.phases(); len(got) != 1 || got[0] != want {
		h.t.Errorf("the instances are %v, want one %s", got, want)
	}
}

func TestAnIdleInstanceFreezesIsReclaimedAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		h.wantPhase(lateen.PhaseRunning)
		time.Sleep(301 * time.Millisecond)
		h.wantPhase(lateen.PhaseFrozen)
		time.Sleep(5 * time.Second)
		h.wantPhase(lateen.PhaseReclaimed)
		if n := e.last().reclaimed; n != 1 {
			t.Errorf("memory was reclaimed %d times, want once", n)
		}
		time.Sleep(9 * time.Minute)
		h.wantPhase(lateen.PhaseReclaimed)
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, running := e.counts(); running != 0 {
			t.Error("an instance with a start time of a second runs ten minutes later")
		}
	})
}

func TestARequestThawsAFrozenInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second, thawTime: 2 * time.Millisecond}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		for _, pause := range []time.Duration{time.Second, 20 * time.Second} {
			time.Sleep(pause)
			inv := h.ask(spec("/a"))
			if inv.Start != lateen.StartThawed || inv.Claim != 2*time.Millisecond {
				t.Errorf("after %s: %+v, want it thawed in 2ms", pause, inv)
			}
		}
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartWarm {
			t.Errorf("right after that: %s, want warm", inv.Start)
		}
		if starts, _ := e.counts(); starts != 1 {
			t.Errorf("%d starts, want one", starts)
		}
	})
}

func TestAThawedInstanceFreezesAgainAsSoonAsAnother(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 20 * time.Second} { // frozen, reclaimed
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := run(t, fleet.Options{Engine: &fakeEngine{freezes: true, boot: time.Second}})
				h.ask(spec("/a"))
				time.Sleep(pause)
				h.ask(spec("/a"))
				time.Sleep(301 * time.Millisecond)
				h.wantPhase(lateen.PhaseFrozen)
				time.Sleep(5 * time.Second)
				h.wantPhase(lateen.PhaseReclaimed)
			})
		})
	}
}

func TestConcurrentRequestsThawAnInstanceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second, thawTime: 2 * time.Millisecond, handle: sleeping(time.Millisecond)}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		time.Sleep(time.Second)
		asked := time.Now()
		wantNoErrors(t, h.burst(10, spec("/a")))
		if took := time.Since(asked); took != 3*time.Millisecond {
			t.Errorf("they took %s, want the 2ms of one thaw and the 1ms of an answer", took)
		}
	})
}

func TestBackgroundWorkPreventsAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		e.last().busy.Store(1)
		time.Sleep(time.Minute)
		h.wantPhase(lateen.PhaseRunning)
		e.last().busy.Store(0)
		time.Sleep(time.Second)
		h.wantPhase(lateen.PhaseFrozen)
	})
}

func TestAnInstanceThatDoesNotThawIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		time.Sleep(time.Second)
		e.thawFailures = 1
		inv := h.ask(spec("/a"))
		if inv.Start != lateen.StartBlank || !inv.Retried || inv.Instance != "ins_2" {
			t.Errorf("got %+v, want it answered by a fresh instance", inv)
		}
		synctest.Wait()
		if _, running := e.counts(); running != 1 {
			t.Errorf("%d instances, want the fresh one", running)
		}
		e.breaches = nil // a stop of a frozen instance is no breach here
	})
}

func TestInstancesStayIdleIfTheEngineCannotFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		time.Sleep(time.Minute)
		h.wantPhase(lateen.PhaseRunning)
		if inv := h.ask(spec("/a")); inv.Start != lateen.StartWarm {
			t.Errorf("a minute later it is %s, want warm", inv.Start)
		}
	})
}

func TestAFrozenInstanceIsThawedBeforeItsStop(t *testing.T) { // a frozen process does not handle SIGTERM; the fake engine reports such a stop
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		time.Sleep(time.Second)
		h.wantPhase(lateen.PhaseFrozen)
		h.Forget("dpl_1")
		synctest.Wait()
		h.ask(spec("/b"))
		time.Sleep(time.Second)
		h.stop()
	})
}

func TestNoRequestReachesAFrozenInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: 20 * time.Millisecond, thawTime: time.Millisecond, handle: sleeping(3 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e, Idle: autoscale.Idle{Freeze: 5 * time.Millisecond, Reclaim: 2 * time.Millisecond}, KeepAlive: 40 * time.Millisecond})
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := range 200 {
					h.ask(spec("/a"))
					time.Sleep(time.Duration((i*7+n*3)%50) * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}

func TestTheKeepAliveTimeIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		for range 60 {
			h.ask(spec("/hourly"))
			time.Sleep(time.Hour - time.Second)
		}
		starts, _ := e.counts()
		for range 10 {
			inv := h.ask(spec("/hourly"))
			if inv.Start != lateen.StartPrewarmed && inv.Start != lateen.StartThawed {
				t.Fatalf("the start of a regular request is %s, want prewarmed or thawed", inv.Start)
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if _, running := e.counts(); running != 0 {
				t.Fatal("an instance with hourly requests runs five minutes after one")
			}
			time.Sleep(55*time.Minute - time.Second)
		}
		if again, _ := e.counts(); again-starts > 11 {
			t.Errorf("%d starts for 10 requests", again-starts)
		}
		state := h.Functions("prj_1")[0]
		if state.KeepAlive > time.Minute || state.PrewarmAt == 0 && len(state.Instances) == 0 {
			t.Errorf("the state says %+v", state)
		}
	})
}

func TestFurtherIdleInstancesAreKeptForLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, handle: sleeping(10 * time.Second)}
		h := run(t, fleet.Options{Engine: e})
		s := spec("/a")
		s.Function.MaxConcurrency = 1
		wantNoErrors(t, h.burst(8, s))
		left := func(after time.Duration) int {
			time.Sleep(after)
			synctest.Wait()
			_, running := e.counts()
			return running
		}
		at := []int{left(0), left(time.Minute), left(2 * time.Minute), left(5 * time.Minute), left(5 * time.Minute)}
		if at[0] < 5 || at[1] > 4 || at[2] > 3 || at[3] != 1 || at[4] != 0 {
			t.Errorf("after a burst there are %v instances at once, after 1, 3, 8 and 13 minutes; want them to go one after the other", at)
		}
	})
}

func TestStatisticsSurviveADeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		for range 40 {
			h.ask(specOf("prj_1", "dpl_1", "/hourly"))
			time.Sleep(time.Hour)
		}
		h.ask(specOf("prj_1", "dpl_2", "/hourly"))
		h.Forget("dpl_1")
		time.Sleep(time.Hour)
		synctest.Wait()
		if inv := h.ask(specOf("prj_1", "dpl_2", "/hourly")); inv.Start != lateen.StartPrewarmed {
			t.Errorf("the start of the second request of a new deployment is %s, want prewarmed", inv.Start)
		}
	})
}

func TestADeletedDeploymentIsNotPrewarmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		for range 40 {
			h.ask(spec("/hourly"))
			time.Sleep(time.Hour)
		}
		h.Forget("dpl_1")
		before, _ := e.counts()
		time.Sleep(24 * time.Hour)
		if after, _ := e.counts(); after != before {
			t.Errorf("%d instances were started", after-before)
		}
	})
}

func TestAFixedKeepAliveTimeAppliesToAllFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{freezes: true, boot: time.Second}
		h := run(t, fleet.Options{Engine: e, KeepAlive: 100 * time.Millisecond})
		for range 20 {
			h.ask(spec("/a"))
			time.Sleep(99 * time.Millisecond)
			h.wantPhase(lateen.PhaseRunning)
			time.Sleep(time.Hour)
		}
		if starts, running := e.counts(); starts != 20 || running != 0 {
			t.Errorf("%d starts and %d running, want one per request and none prewarmed", starts, running)
		}
	})
}

func TestAtTheMemoryBudgetTheLeastValuableInstanceIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, usage: func(i *fakeInstance) engine.Usage {
			if i.spec.Name == "/large" {
				return engine.Usage{Memory: 600 << 20}
			}
			return engine.Usage{Memory: 100 << 20}
		}}
		h := run(t, fleet.Options{Engine: e, Memory: 900 << 20})
		for range 20 {
			h.ask(spec("/often"))
			time.Sleep(time.Second)
		}
		h.ask(spec("/once"))
		time.Sleep(time.Second)
		h.ask(spec("/large"))
		time.Sleep(time.Second)
		for _, name := range []string{"/x", "/y", "/z"} {
			h.ask(spec(name))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		left := map[string]int{}
		for _, i := range e.instances {
			if !i.exited() {
				left[i.spec.Name]++
			}
		}
		if left["/large"] != 0 || left["/often"] != 1 || left["/z"] != 1 {
			t.Errorf("running are %v, want /often and /z without /large", left)
		}
		if got := h.Stats().Memory; got > 900<<20 {
			t.Errorf("%d bytes are held, past the bound", got)
		}
	})
}
