package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// flood sends requests to several functions of a project, each times at once, until
// stop is called.
func (h *harness) flood(project lateen.ProjectID, functions, each int) (stop func()) {
	return h.heavyFlood(project, 0, functions, each)
}

// heavyFlood is flood for a project with a weight.
func (h *harness) heavyFlood(project lateen.ProjectID, weight, functions, each int) (stop func()) {
	ended := make(chan struct{})
	var all sync.WaitGroup
	for n := range functions * each {
		s := specOf(project, lateen.DeploymentID("dpl_"+project), fmt.Sprintf("/%d", n%functions))
		s.Weight = weight
		all.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				if _, _, err := h.call(h.t.Context(), s); err != nil {
					if !errors.Is(err, lateen.ErrFunctionThrottled) {
						h.t.Errorf("the flood got %v", err)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	return func() { close(ended); all.Wait() }
}

// waits makes n requests, one after the other, and returns the 99th percentile of
// their durations.
func (h *harness) waits(s lateen.FunctionSpec, n int, pause time.Duration) time.Duration {
	var waited []time.Duration
	for range n {
		asked := time.Now()
		h.ask(s)
		waited = append(waited, time.Since(asked))
		time.Sleep(pause)
	}
	slices.Sort(waited)
	return waited[len(waited)*99/100]
}

func TestAFloodOfInstancesDoesNotStarveOtherProjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 50 * time.Millisecond, handle: sleeping(200 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e, Total: 8, Processors: 2})
		stop := h.flood("prj_noisy", 12, 20)
		time.Sleep(5 * time.Second)
		if n := e.of("prj_noisy"); n < 8 {
			t.Errorf("the flood has %d instances, want all", n)
		}
		if p99 := h.waits(specOf("prj_quiet", "dpl_q", "/a"), 40, 50*time.Millisecond); p99 > time.Second {
			t.Errorf("p99 during the flood is %s, want a second at most", p99)
		}
		if p99 := h.waits(specOf("prj_rare", "dpl_r", "/a"), 6, 2*time.Second); p99 > time.Second {
			t.Errorf("p99 of rare requests is %s, want a second at most", p99)
		}
		stop()
	})
}

func TestEveryProjectGetsItsShareOfTheInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 50 * time.Millisecond, handle: sleeping(100 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e, Total: 12, Processors: 2})
		var stops []func()
		for i, functions := range []int{12, 8, 4} {
			stops = append(stops, h.flood(lateen.ProjectID(fmt.Sprintf("prj_%d", i)), functions, 10))
			time.Sleep(2 * time.Second)
		}
		time.Sleep(10 * time.Second)
		for i := range 3 {
			if n := e.of(lateen.ProjectID(fmt.Sprintf("prj_%d", i))); n < 3 || n > 6 {
				t.Errorf("project %d has %d instances of 12, want about a third", i, n)
			}
		}
		for _, stop := range stops {
			stop()
		}
	})
}

func TestInstancesAreSharedByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 50 * time.Millisecond, handle: sleeping(100 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e, Total: 8, Processors: 2, Concurrency: 1})
		stopLight := h.heavyFlood("prj_light", 1, 12, 10)
		time.Sleep(5 * time.Second)
		stopHeavy := h.heavyFlood("prj_heavy", 3, 12, 10)
		time.Sleep(10 * time.Second)
		heavy, light := e.served("prj_heavy"), e.served("prj_light")
		time.Sleep(time.Minute)
		heavy, light = e.served("prj_heavy")-heavy, e.served("prj_light")-light
		stopHeavy()
		stopLight()
		if heavy < 25*light/10 || heavy > 35*light/10 {
			t.Errorf("%d and %d answers, want three of one for one of the other", heavy, light)
		}
	})
}

func TestCPUTimeIsSharedByTheCurrentWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compute, usage := computing(4, 20*time.Millisecond)
		e := &fakeEngine{boot: 50 * time.Millisecond, usage: usage, handleOf: compute}
		h := run(t, fleet.Options{Engine: e, Processors: 4})
		for range 20 { // so that the functions are known
			for _, name := range []string{"/0", "/1", "/2", "/3"} { // several, so that they are not short of instances
				h.ask(specOf("prj_a", "dpl_prj_a", name))
				h.ask(specOf("prj_b", "dpl_prj_b", name))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, weights := range [][2]int{{3, 1}, {1, 3}, {1, 1}, {0, 1}, {5, 2}} {
			stopA, stopB := h.heavyFlood("prj_a", weights[0], 4, 25), h.heavyFlood("prj_b", weights[1], 4, 25)
			time.Sleep(2 * time.Second)
			a, b := e.served("prj_a"), e.served("prj_b")
			time.Sleep(20 * time.Second)
			a, b = e.served("prj_a")-a, e.served("prj_b")-b
			stopA()
			stopB()
			part := float64(max(1, weights[0])) / float64(max(1, weights[0])+weights[1])
			if got := float64(a) / float64(a+b); a+b < 3500 || got < part-0.03 || got > part+0.03 {
				t.Errorf("weights %v: %d and %d answers in 20s of four processors, want 4000 in all and a part of %.2f", weights, a, b, part)
			}
		}
	})
}

func TestEveryFunctionOfAFloodIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 50 * time.Millisecond, handle: sleeping(100 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e, Total: 4, Processors: 2})
		stop := h.flood("prj_1", 12, 4)
		time.Sleep(time.Minute)
		stop()
		synctest.Wait()
		served := map[string]int64{}
		for _, i := range e.instances {
			served[i.spec.Name] += i.served.Load()
		}
		if len(served) != 12 {
			t.Errorf("of 12 functions these were served: %v", served)
		}
	})
}

// computing returns functions that compute for d on one of n shared CPUs, and the
// engine's measurement of that.
func computing(n int, d time.Duration) (handle func(*fakeInstance) time.Duration, usage func(*fakeInstance) engine.Usage) {
	var mu sync.Mutex
	free := make([]time.Time, n)
	handle = func(*fakeInstance) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		next := slices.IndexFunc(free, func(at time.Time) bool { return at.Equal(slices.MinFunc(free, time.Time.Compare)) })
		if now := time.Now(); free[next].Before(now) {
			free[next] = now
		}
		free[next] = free[next].Add(d)
		return time.Until(free[next])
	}
	usage = func(i *fakeInstance) engine.Usage {
		return engine.Usage{CPU: time.Duration(i.served.Load()-i.inFlight.Load()) * d}
	}
	return handle, usage
}

func TestAFloodOfComputationDoesNotStarveOtherProjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compute, usage := computing(2, 20*time.Millisecond)
		e := &fakeEngine{boot: 50 * time.Millisecond, usage: usage}
		e.handleOf = func(i *fakeInstance) time.Duration { return compute(i) }
		h := run(t, fleet.Options{Engine: e, Processors: 2})
		quiet := specOf("prj_quiet", "dpl_q", "/a")
		loud := specOf("prj_noisy", "dpl_prj_noisy", "/0")
		for range 20 { // so that the functions are known
			h.ask(quiet)
			h.ask(loud)
			time.Sleep(100 * time.Millisecond)
		}
		stop := h.flood("prj_noisy", 1, 300)
		time.Sleep(5 * time.Second)
		p99 := h.waits(quiet, 200, 50*time.Millisecond)
		stop()
		if p99 > 300*time.Millisecond {
			t.Errorf("p99 during a flood of computation is %s, want 300ms at most", p99)
		}
		if n, _ := e.counts(); n > 12 {
			t.Errorf("%d instances were started for two processors", n)
		}
	})
}

func TestAFunctionThatNeverRespondsTakesOnlyItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most int64
		e := &fakeEngine{boot: 50 * time.Millisecond}
		e.handle = func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/loop" {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return answer("ok"), nil
		}
		began := time.Now()
		e.usage = func(i *fakeInstance) engine.Usage {
			if i.spec.Project != "prj_loops" {
				return engine.Usage{}
			}
			return engine.Usage{CPU: 2 * time.Since(began)} // two CPUs all the time
		}
		h := run(t, fleet.Options{Engine: e, Processors: 2})
		loop := specOf("prj_loops", "dpl_1", "/loop")
		loop.Function.MaxDuration = 10
		ask := func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/loop", http.NoBody)
			if err != nil {
				t.Error(err)
			}
			var inv lateen.Invocation
			if _, err := h.Invoke(t.Context(), loop, req, &inv); !errors.Is(err, lateen.ErrFunctionTimeout) {
				t.Errorf("the loop ends with %v", err)
			}
		}
		ask() // the fleet learns its need of CPU time
		var all sync.WaitGroup
		for range 50 {
			all.Go(ask)
		}
		for range 9 {
			time.Sleep(time.Second)
			e.mu.Lock()
			var now int64
			for _, i := range e.instances {
				if i.spec.Project == "prj_loops" && !i.exited() {
					now += i.inFlight.Load()
				}
			}
			e.mu.Unlock()
			most = max(most, now)
			if inv := h.ask(specOf("prj_quiet", "dpl_2", "/a")); inv.Queue > 100*time.Millisecond {
				t.Errorf("a request of another project waited %s", inv.Queue)
			}
		}
		all.Wait()
		if most == 0 || most > 8 {
			t.Errorf("%d of its requests loop at once on two processors", most)
		}
	})
}

func TestFunctionsOfAProjectUseCPUTimeInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compute, usage := computing(2, 20*time.Millisecond)
		e := &fakeEngine{boot: 50 * time.Millisecond, usage: usage, handleOf: compute}
		h := run(t, fleet.Options{Engine: e, Processors: 2})
		for range 20 {
			h.ask(specOf("prj_1", "dpl_prj_1", "/0"))
			h.ask(specOf("prj_1", "dpl_prj_1", "/1"))
			time.Sleep(100 * time.Millisecond)
		}
		stop := h.flood("prj_1", 1, 300)
		time.Sleep(5 * time.Second)
		p99 := h.waits(specOf("prj_1", "dpl_prj_1", "/1"), 100, 50*time.Millisecond)
		stop()
		if p99 > 300*time.Millisecond {
			t.Errorf("p99 during a flood of another function of the project is %s, want 300ms at most", p99)
		}
	})
}

func TestTheQueueOfAProjectIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Hour}
		h := run(t, fleet.Options{Engine: e, Queue: 3, ProjectQueue: 5, StartTimeout: time.Second})
		var waiting sync.WaitGroup
		for n := range 5 {
			waiting.Go(func() { h.call(t.Context(), spec(fmt.Sprintf("/%d", n))) })
		}
		synctest.Wait()
		asked := time.Now()
		if _, _, err := h.call(t.Context(), spec("/another")); !errors.Is(err, lateen.ErrFunctionThrottled) || time.Since(asked) != 0 {
			t.Errorf("got %v after %s, want function_throttled at once", err, time.Since(asked))
		}
		other := make(chan error, 1)
		go func() {
			_, _, err := h.call(t.Context(), specOf("prj_2", "dpl_2", "/a"))
			other <- err
		}()
		synctest.Wait()
		if got := h.Stats().Waiting; got != 6 {
			t.Errorf("%d wait, want five of one project and one of another", got)
		}
		waiting.Wait()
		<-other
		if got := h.Stats(); got.Waiting != 0 || got.Starting != 0 {
			t.Errorf("left behind: %+v", got)
		}
	})
}

func TestConcurrentRequestsToManyIdleFunctionsAreAllAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 50 * time.Millisecond}
		h := run(t, fleet.Options{Engine: e, Processors: 2})
		asked := time.Now()
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() { h.ask(spec(fmt.Sprintf("/%d", n))) })
		}
		all.Wait()
		if took := time.Since(asked); took > 1300*time.Millisecond {
			t.Errorf("it took %s, want 100 starts of 50ms, 4 at once", took)
		}
	})
}

func TestAHangingStartDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 20 * time.Second}
		h := run(t, fleet.Options{Engine: e, Processors: 1})
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() { h.ask(spec(fmt.Sprintf("/slow-%d", n))) })
		}
		synctest.Wait()
		if starts, _ := e.counts(); starts != 2 {
			t.Errorf("%d starts at once, want 2", starts)
		}
		time.Sleep(2500 * time.Millisecond)
		if starts, _ := e.counts(); starts != 6 {
			t.Errorf("%d starts after more than two seconds, want all 6", starts)
		}
		all.Wait()
	})
}

func TestAnInstanceThatYieldsToAnotherProjectFinishesItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := 10 * time.Minute // longer than Options.Grace
		e := &fakeEngine{handleOf: func(i *fakeInstance) time.Duration {
			if i.spec.Project == "prj_long" {
				return long
			}
			return 0
		}}
		h := run(t, fleet.Options{Engine: e, Total: 2, Duration: time.Hour})
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				if _, text, err := h.call(t.Context(), specOf("prj_long", "dpl_1", fmt.Sprintf("/%d", n%2))); err != nil || text != "ok" {
					t.Errorf("a long request: %q, %v", text, err)
				}
			})
		}
		time.Sleep(time.Minute)
		begun := time.Now()
		h.ask(specOf("prj_2", "dpl_2", "/a"))
		if waited := time.Since(begun); waited != long-time.Minute {
			t.Errorf("the other project waited %s, want until the first long requests had ended", waited)
		}
		all.Wait()
	})
}

// TestRequestsThatDoNotEndLeaveOtherProjectsAnInstance: slow requests of one client
// can hold all instances of a project for their maximum duration.
func TestRequestsThatDoNotEndLeaveOtherProjectsAnInstance(t *testing.T) {
	of := func(team lateen.TeamID, project lateen.ProjectID, name string) lateen.FunctionSpec {
		s := specOf(project, lateen.DeploymentID("dpl_"+string(project)), name)
		s.Team = team
		return s
	}
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{handleOf: func(i *fakeInstance) time.Duration {
			if i.spec.Team == "team_1" && i.spec.Project != "prj_short" {
				return 10 * time.Minute
			}
			return 0
		}}
		h := run(t, fleet.Options{Engine: e, Total: 32, Concurrency: 1, PerFunction: 1, Duration: time.Hour})
		var all sync.WaitGroup
		hang := func(project lateen.ProjectID, functions int) {
			for n := range functions {
				all.Go(func() { _, _, _ = h.call(t.Context(), of("team_1", project, fmt.Sprint("/", n))) }) // the response does not matter
			}
		}
		hang("prj_many", 40)
		time.Sleep(time.Second)
		if n := e.of("prj_many"); n != 32 {
			t.Errorf("the project has %d instances, want all", n)
		}
		atOnce := func(team lateen.TeamID, project lateen.ProjectID) {
			t.Helper()
			begun := time.Now()
			h.ask(of(team, project, "/a"))
			if waited := time.Since(begun); waited > 2*time.Second {
				t.Errorf("%s waited %s", project, waited)
			}
		}
		atOnce("team_1", "prj_short")
		for n := range 8 { // projects of one team use at most half of the reserve
			hang(lateen.ProjectID(fmt.Sprint("prj_", n)), 2)
		}
		time.Sleep(time.Second)
		if _, n := e.counts(); n > 34 {
			t.Errorf("%d instances run, want 34 at most while no other team asks", n)
		}
		for range 3 {
			atOnce("team_2", "prj_other")
			time.Sleep(time.Minute) // its instance becomes idle and may be evicted
		}
		all.Wait()
	})
}

func TestShutdownCancelsRequestsAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{handle: sleeping(10 * time.Minute)}
		h := run(t, fleet.Options{Engine: e, Total: 1, Duration: time.Hour})
		ended := make(chan error, 1)
		go func() { _, _, err := h.call(t.Context(), spec("/a")); ended <- err }()
		synctest.Wait()
		go h.call(t.Context(), specOf("prj_2", "dpl_2", "/a")) // the first instance leaves for it
		time.Sleep(time.Second)
		begun := time.Now()
		h.stop()
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("the shutdown took %s, want the grace of 30s", took)
		}
		<-ended
	})
}

func TestTheLimitOfAnInstanceAdaptsToItsFunction(t *testing.T) {
	for _, tt := range []struct {
		name     string
		together time.Duration // duration of a request per request in flight
		from, to int
	}{
		{"a function that waits takes many", 0, 40, 64},
		{"a function that computes takes few", 20 * time.Millisecond, 1, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{boot: 50 * time.Millisecond, handleOf: func(i *fakeInstance) time.Duration {
					return max(20*time.Millisecond, time.Duration(i.inFlight.Load())*tt.together)
				}}
				h := run(t, fleet.Options{Engine: e, PerFunction: 2})
				for range 5 {
					h.ask(spec("/a"))
				}
				for range 40 {
					wantNoErrors(t, h.burst(200, spec("/a")))
				}
				if got := h.Functions("")[0].Limit; got < tt.from || got > tt.to {
					t.Errorf("the limit is %d, want %d to %d", got, tt.from, tt.to)
				}
			})
		})
	}
}

// holding answers requests, those with the field Endless at their end only.
func holding(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Endless") != "" {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return answer("ok"), nil
}

// hold makes n endless requests, each for another function of a project, until so many wait.
func (h *harness) hold(ctx context.Context, n, wait int) (ended *sync.WaitGroup) {
	ended = new(sync.WaitGroup)
	for i := range n {
		req, err := http.NewRequestWithContext(lateen.WithClient(ctx, fmt.Sprint(i)), http.MethodGet, "http://site/", nil)
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set("Endless", "1")
		ended.Go(func() {
			var inv lateen.Invocation
			if resp, err := h.Invoke(req.Context(), spec(fmt.Sprint("/", i)), req, &inv); err == nil {
				resp.Body.Close()
			}
		})
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for h.Stats().Waiting < wait {
		<-tick.C
	}
	return ended
}

// A project has thousands of functions in all its deployments, and can have as many
// requests for different ones wait for an instance.
func TestManyWaitingFunctionsDoNotDelayAnotherProject(t *testing.T) {
	const instances, queue = 64, 4000
	h := run(t, fleet.Options{Engine: &fakeEngine{handle: holding}, Total: instances, ProjectQueue: queue, Processors: 4})
	other := specOf("prj_2", "dpl_2", "/b")
	h.ask(other)
	ctx, cancel := context.WithCancel(t.Context())
	defer h.hold(ctx, 2*instances+queue, queue-instances).Wait()
	defer cancel()
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range 200 {
			if _, _, err := h.call(ctx, other); err != nil {
				return
			}
		}
	}()
	select {
	case <-served:
	case <-time.After(20 * time.Second): // the requests take milliseconds
		t.Error("200 requests of another project have not ended")
	}
}

// Work that grows with the queue would be done for each of the refused requests, with
// the fleet's mutex held. Its allocations tell it.
func TestARefusalDoesNotLookAtTheWholeQueue(t *testing.T) {
	const queue, refused = 4000, 100
	h := run(t, fleet.Options{Engine: &fakeEngine{handle: holding}, Total: 1, ProjectQueue: queue, Processors: 4})
	ctx, cancel := context.WithCancel(t.Context())
	held := h.hold(ctx, 2*queue, queue-1)
	defer held.Wait()
	defer cancel()
	gone, leave := context.WithCancel(ctx)
	leave() // a start may just have made room in the queue
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range refused {
		if _, _, err := h.call(gone, spec("/new")); !errors.Is(err, lateen.ErrFunctionThrottled) && !errors.Is(err, context.Canceled) {
			t.Fatalf("the error is %v", err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / refused; each > 32<<10 {
		t.Errorf("a refusal allocates %d bytes", each)
	}
}
