package fleet_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// minimum is a function of a deployment with minimum instances.
func minimum(d lateen.DeploymentID, instances int) lateen.FunctionSpec {
	s := specOf("prj_1", d, "/a")
	s.Function.MinInstances = instances
	return s
}

// produce makes the deployment of the functions the production deployment.
func (h *harness) produce(functions ...lateen.FunctionSpec) {
	h.Produce("prj_1", functions[0].Deployment, functions)
}

// later waits for an hour and returns the number of a deployment's running
// instances.
func (h *harness) later(e *fakeEngine, d lateen.DeploymentID) (running int) {
	time.Sleep(time.Hour)
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.instances {
		if i.spec.Deployment == d && !i.exited() {
			running++
		}
	}
	return running
}

func TestMinimumInstancesAreKeptForTheProductionDeploymentAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, freezes: true}
		h := run(t, fleet.Options{Engine: e})
		production, other := minimum("dpl_2", 2), minimum("dpl_1", 2)
		h.produce(production)
		h.ask(other)
		h.ask(production)
		if n := h.later(e, "dpl_1"); n != 0 {
			t.Errorf("another deployment has %d instances", n)
		}
		for _, exit := range []func(){func() { e.last().exit() }, func() {
			for _, i := range e.instances {
				i.exit()
			}
		}} {
			if n := h.later(e, "dpl_2"); n != 2 {
				t.Errorf("%d instances of production, want the minimum of 2", n)
			}
			exit()
		}
		if n := h.later(e, "dpl_2"); n != 2 {
			t.Errorf("%d instances of production after all exited, want 2", n)
		}
	})
}

func TestMinimumInstancesStayWithProductionWhenAnOldDeploymentIsVisited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.produce(minimum("dpl_2", 1))
		h.ask(minimum("dpl_1", 1))
		if was, is := h.later(e, "dpl_1"), h.later(e, "dpl_2"); was != 0 || is != 1 {
			t.Errorf("%d instances of the old deployment and %d of production, want 0 and 1", was, is)
		}
	})
}

func TestMinimumInstancesExistBeforeTheFirstRequestAndFollowProduction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Minute})
		for _, d := range []lateen.DeploymentID{"dpl_1", "dpl_2", "dpl_1"} { // a deployment, the next one, and a rollback
			h.produce(minimum(d, 1))
			if n := h.later(e, d); n != 1 || e.of("prj_1") != 1 {
				t.Errorf("%d instances of %s and %d of the project, want one", n, d, e.of("prj_1"))
			}
			if inv := h.ask(minimum(d, 1)); inv.Start != lateen.StartWarm {
				t.Errorf("the first request of %s is %s", d, inv.Start)
			}
		}
	})
}

func TestMinimumInstancesAreReleasedWhenTheNextDeploymentHasNone(t *testing.T) {
	for name, next := range map[string][]lateen.FunctionSpec{
		"the function is removed": {specOf("prj_1", "dpl_2", "/b")}, "it has no minimum": {minimum("dpl_2", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{boot: time.Second, freezes: true}
				h := run(t, fleet.Options{Engine: e})
				h.produce(minimum("dpl_1", 2))
				if n := h.later(e, "dpl_1"); n != 2 {
					t.Fatalf("%d instances, want the minimum of 2", n)
				}
				h.produce(next...)
				if n := h.later(e, "dpl_1"); n != 0 {
					t.Errorf("%d instances are left", n)
				}
			})
		})
	}
}

func TestMinimumInstancesOfADeletedDeploymentStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e})
		h.produce(minimum("dpl_1", 2))
		synctest.Wait()
		h.Forget("dpl_1") // during their starts
		if n := h.later(e, "dpl_1"); n != 0 {
			t.Errorf("%d instances are left", n)
		}
	})
}

func TestFailedMinimumInstancesAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond, failures: 1 << 30, failWith: errors.New("no")}
		h := run(t, fleet.Options{Engine: e})
		h.produce(minimum("dpl_1", 1))
		if _, _, err := h.call(t.Context(), minimum("dpl_1", 1)); err == nil {
			t.Error("it was answered")
		}
		time.Sleep(time.Hour)
		if starts, _ := e.counts(); starts > 2*360+4 {
			t.Errorf("%d attempts in an hour", starts)
		}
		e.mu.Lock()
		e.failures = 0
		e.mu.Unlock()
		if n := h.later(e, "dpl_1"); n != 1 {
			t.Errorf("%d instances once starts work again, want the minimum", n)
		}
	})
}
