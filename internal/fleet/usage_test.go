package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// samples collects the usage of instances.
type samples struct {
	mu  sync.Mutex
	all []lateen.UsageSample
}

func (s *samples) AddUsage(sample lateen.UsageSample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, sample)
}

func (s *samples) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// byInstance returns the sums of each instance, after it has checked that its
// intervals follow each other.
func (s *samples) byInstance(t *testing.T) map[lateen.InstanceID]lateen.Usage {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	sums, last := map[lateen.InstanceID]lateen.Usage{}, map[lateen.InstanceID]lateen.UsageSample{}
	for _, sample := range s.all {
		before := last[sample.Instance]
		if sample.Serial != before.Serial+1 || before.Serial > 0 && sample.From != before.To {
			t.Errorf("%s: sample %d from %d comes after sample %d until %d", sample.Instance, sample.Serial, sample.From, before.Serial, before.To)
		}
		took := time.Duration(sample.To-sample.From) * time.Millisecond
		if total := sample.Total().Time; (total-took).Abs() > time.Millisecond || took <= 0 || took > time.Minute {
			t.Errorf("%s: the states of sample %d last %s together, the interval %s", sample.Instance, sample.Serial, total, took)
		}
		for _, state := range sample.States() {
			if state.Time < 0 || state.Memory < 0 || state.CPU < 0 {
				t.Errorf("%s: sample %d has negative values: %+v", sample.Instance, sample.Serial, sample.Usage)
			}
		}
		sum := sums[sample.Instance]
		sum.Add(sample.Usage)
		sums[sample.Instance], last[sample.Instance] = sum, sample
	}
	return sums
}

func TestUsageIsReportedByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		usage := func(*fakeInstance) engine.Usage {
			cpu := 100 * time.Millisecond // of the start
			if since := time.Since(begin) - time.Second; since > 0 {
				cpu += min(since, 90*time.Second) // of the request
			}
			return engine.Usage{Memory: 1000, CPU: cpu}
		}
		got := &samples{}
		h := run(t, fleet.Options{Engine: &fakeEngine{freezes: true, boot: time.Second, handle: sleeping(90 * time.Second), usage: usage}, Usage: got})
		s := specOf("prj_1", "dpl_1", "/a")
		s.Team = "team_1"
		h.ask(s)
		time.Sleep(5 * time.Minute)
		if n := got.count(); n != 7 {
			t.Errorf("%d samples within 391 s, want one every 50 s", n)
		}
		h.stop()
		sums := got.byInstance(t)
		want := lateen.Usage{
			Starting: lateen.StateUsage{Time: time.Second, Memory: 1000, CPU: 100 * time.Millisecond},
			Busy:     lateen.StateUsage{Time: 90 * time.Second, Memory: 1000 * 90, CPU: 90 * time.Second},
			Idle:     lateen.StateUsage{Time: 300 * time.Millisecond, Memory: 300},
			Frozen:   lateen.StateUsage{Time: 5*time.Minute - 300*time.Millisecond, Memory: 299_700},
		}
		if len(sums) != 1 || sums["ins_1"] != want {
			t.Errorf("got  %+v\nwant %+v", sums, want)
		}
		if first := got.all[0]; first.Team != "team_1" || first.Project != "prj_1" || first.Deployment != "dpl_1" || first.Function != "/a" || first.From != lateen.MillisOf(begin) {
			t.Errorf("the first sample is %+v", first)
		}
	})
}

func TestTheLastSampleIsReportedWhenAnInstanceEnds(t *testing.T) {
	for name, end := range map[string]func(*harness, *fakeEngine){
		"crash":    func(_ *harness, e *fakeEngine) { e.last().exit() },
		"deletion": func(h *harness, _ *fakeEngine) { h.Forget("dpl_1") },
		"shutdown": func(h *harness, _ *fakeEngine) { h.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, e := &samples{}, &fakeEngine{}
				h := run(t, fleet.Options{Engine: e, Usage: got})
				h.ask(spec("/a"))
				time.Sleep(20 * time.Second)
				end(h, e)
				synctest.Wait()
				if sum := got.byInstance(t)["ins_1"]; got.count() != 1 || sum.Total().Time != 20*time.Second {
					t.Errorf("%d samples with %s, want one with 20 s", got.count(), sum.Total().Time)
				}
				time.Sleep(5 * time.Minute)
				if n := got.count(); n != 1 {
					t.Errorf("%d samples, the last one minutes after the end", n)
				}
			})
		})
	}
}

// Requests, freezes, evictions and crashes at random times: the sums of each
// instance are its lifetime, from the beginning of its start to its end.
func TestUsageAddsUpToTheLifetimeOfInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const boot = 40 * time.Millisecond
		begin := time.Now()
		got := &samples{}
		var mu sync.Mutex
		started, ended := map[lateen.InstanceID]time.Time{}, map[lateen.InstanceID]time.Time{}
		e := &fakeEngine{freezes: true, boot: boot, thawTime: time.Millisecond, idleReport: 2 * time.Millisecond}
		e.usage = func(i *fakeInstance) engine.Usage {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := started[i.id]; !ok {
				started[i.id] = time.Now().Add(-boot)
				go func() {
					<-i.done
					mu.Lock()
					defer mu.Unlock()
					ended[i.id] = time.Now()
				}()
			}
			return engine.Usage{Memory: 1 << 20, CPU: time.Since(begin)}
		}
		e.handle = func(req *http.Request) (*http.Response, error) {
			return sleeping(rand.N(3 * time.Second))(req)
		}
		h := run(t, fleet.Options{Engine: e, Usage: got, Total: 6, PerFunction: 3, Concurrency: 2})
		var clients sync.WaitGroup
		for n := range 8 {
			clients.Go(func() {
				s := specOf(lateen.ProjectID([]string{"prj_1", "prj_2"}[n%2]), "dpl_1", []string{"/a", "/b", "/c", "/d"}[n%4])
				for time.Since(begin) < 10*time.Minute {
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(5*time.Second))
					_, _, _ = h.call(ctx, s)
					cancel()
					time.Sleep(rand.N(10 * time.Second))
					if rand.N(20) == 0 {
						e.last().exit()
					}
				}
			})
		}
		clients.Wait()
		h.stop()
		synctest.Wait()
		sums := got.byInstance(t)
		if len(sums) < 10 || len(sums) != len(ended) {
			t.Errorf("%d of %d instances have samples; want at least 10", len(sums), len(ended))
		}
		var all lateen.Usage
		for id, sum := range sums {
			life, total := ended[id].Sub(started[id]), sum.Total()
			if total.Time < life || total.Time > life+10*time.Millisecond { // a frozen process that ends is thawed first
				t.Errorf("%s lived for %s, its states lasted %s", id, life, total.Time)
			}
			all.Add(sum)
		}
		for i, state := range all.States() {
			if state.Time == 0 && state != &all.Failed && state != &all.Standby {
				t.Errorf("no instance was in state %d", i)
			}
		}
	})
}

// Both attempts of a start fail: their time is the usage of the function, once each.
func TestTheTimeOfFailedStartsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := &samples{}
		h := run(t, fleet.Options{Engine: &fakeEngine{boot: 3 * time.Second, failures: 2, failWith: errors.New("no memory")}, Usage: got})
		s := specOf("prj_1", "dpl_1", "/a")
		s.Team = "team_1"
		if _, _, err := h.call(t.Context(), s); !errors.Is(err, lateen.ErrFunctionStart) {
			t.Fatalf("the request got %v", err)
		}
		if got.count() != 2 {
			t.Fatalf("there are %d samples, want one for each attempt", got.count())
		}
		for i, sample := range got.all {
			want := lateen.Usage{Failed: lateen.StateUsage{Time: 3 * time.Second}}
			if sample.Usage != want || sample.To-sample.From != 3000 || sample.Team != "team_1" || sample.Project != "prj_1" ||
				sample.Deployment != "dpl_1" || sample.Function != "/a" || sample.Instance != "" {
				t.Errorf("attempt %d has the sample %+v", i, sample)
			}
			if i > 0 && sample.From < got.all[i-1].To {
				t.Errorf("the attempts overlap: %+v", got.all)
			}
		}
	})
}

// The fleet stops during a start: the time until then is the usage of the function.
func TestTheTimeOfAnAbandonedStartIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := &samples{}
		f := fleet.New(fleet.Options{Engine: &fakeEngine{boot: time.Hour}, Usage: got, StartTimeout: 2 * time.Hour})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		f.Prewarm(specOf("prj_1", "dpl_1", "/a"))
		time.Sleep(20 * time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got.count() != 1 || got.all[0].Failed.Time != 20*time.Second {
			t.Errorf("the samples are %+v", got.all)
		}
	})
}

// reentrant is a sink that calls the fleet, which deadlocks if the fleet holds its
// mutex.
type reentrant struct {
	samples

	fleet *fleet.Fleet
}

func (r *reentrant) AddUsage(s lateen.UsageSample) {
	r.fleet.Stats()
	r.samples.AddUsage(s)
}

// The usage of 10,000 instances is one sample for each in every interval, and the
// mutex is not held while the sink takes them.
func TestTheUsageOfManyInstancesIsOneSampleEach(t *testing.T) {
	const functions, each = 100, 100
	synctest.Test(t, func(t *testing.T) {
		got := &reentrant{}
		h := run(t, fleet.Options{
			Engine: &fakeEngine{}, Usage: got, Total: functions * each, PerFunction: each, Starts: functions * each, Processors: functions * each,
		})
		got.fleet = h.Fleet
		for fn := range functions {
			s := specOf(lateen.ProjectID(fmt.Sprint("prj_", fn)), lateen.DeploymentID(fmt.Sprint("dpl_", fn)), "/a")
			s.Function.MinInstances, s.Function.MaxInstances = each, each
			h.Produce(s.Project, s.Deployment, []lateen.FunctionSpec{s})
		}
		synctest.Wait()
		if running := h.Stats().Running; running != functions*each {
			t.Fatalf("%d instances run", running)
		}
		time.Sleep(149 * time.Second) // two intervals of 50 s, and most of the third
		synctest.Wait()
		if n := got.count(); n != 2*functions*each {
			t.Errorf("%d samples of %d instances", n, functions*each)
		}
		if n := len(got.byInstance(t)); n != functions*each {
			t.Errorf("the samples are of %d instances", n)
		}
	})
}
