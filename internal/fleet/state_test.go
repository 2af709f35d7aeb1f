package fleet_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

func TestTheStateOfFunctionsIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, handle: sleeping(100 * time.Millisecond), freezes: true, usage: func(i *fakeInstance) engine.Usage {
			return engine.Usage{CPU: time.Duration(i.served.Load()) * 10 * time.Millisecond, Memory: 50 << 20}
		}}
		h := run(t, fleet.Options{Engine: e})
		s := spec("/a")
		s.Function.Runtime, s.Function.MaxConcurrency = "nodejs24.x", 1
		begun := lateen.Millis(time.Now().UnixMilli())
		h.ask(s)
		h.ask(s)
		var two sync.WaitGroup
		for range 2 {
			two.Go(func() { h.ask(s) })
		}
		time.Sleep(50 * time.Millisecond)
		h.ask(specOf("prj_2", "dpl_2", "/other"))
		two.Wait()
		time.Sleep(10 * time.Millisecond)
		if p := h.Prepared(s.Key, "nodejs24.x"); !p.Archive || p.NoTemplate != string(s.Key)+" of nodejs24.x" {
			t.Errorf("it is prepared as %+v", p)
		}
		states := h.Functions("prj_1")
		want := []lateen.FunctionState{{
			Project: "prj_1", Deployment: "dpl_1", Function: "/a", Runtime: "nodejs24.x",
			Instances: []lateen.InstanceState{{
				ID: "ins_1", Phase: lateen.PhaseFrozen, Start: lateen.StartBlank, Since: begun + 1000, Requests: 4, CPU: 40 * time.Millisecond, Memory: 50 << 20,
			}},
			Limit: 1, MaxLimit: 1, MaxInstances: 16, LastAsked: begun + 1200,
			StartTime: time.Second, Service: 100 * time.Millisecond, CPU: 10 * time.Millisecond, Memory: 50 << 20,
			Starts: []lateen.StartState{
				{Kind: lateen.StartWarm, Count: 3, P50: 83886080, P99: 167772160}, {Kind: lateen.StartBlank, Count: 1, P50: 1342177280, P99: 1342177280},
			},
		}}
		want[0].KeepAlive = states[0].KeepAlive
		if diff := cmp.Diff(want, states); diff != "" {
			t.Error(diff)
		}
		if states[0].KeepAlive < 15*time.Minute || states[0].KeepAlive > 20*time.Minute {
			t.Errorf("it is kept for %s: 50 MiB and a second's start are worth 18 minutes", states[0].KeepAlive)
		}
		if all := h.Functions(""); len(all) != 2 || all[1].Project != "prj_2" || all[0].KeepAlive != states[0].KeepAlive || all[1].KeepAlive == all[0].KeepAlive {
			t.Errorf("all are %+v", all)
		}
		if none := h.Functions("prj_3"); len(none) != 0 {
			t.Errorf("a project without requests has %+v", none)
		}
		time.Sleep(time.Hour)
		gone := h.Functions("prj_1")
		if len(gone) != 1 || len(gone[0].Instances) != 0 || gone[0].Deployment != "dpl_1" || len(gone[0].Starts) != 2 {
			t.Errorf("without instances: %+v", gone)
		}
	})
}

func TestUsageIsDividedBetweenConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		e := &fakeEngine{usage: func(i *fakeInstance) engine.Usage { // it computes all the time
			return engine.Usage{
				CPU: time.Since(begun), Memory: 30 << 20, Peak: 40 << 20,
				Outbound: []lateen.Outbound{{Host: "db.example", Count: 3}, {Host: "api.example", Count: int(i.served.Load())}},
			}
		}}
		e.handle = func(req *http.Request) (*http.Response, error) {
			return sleeping(time.Duration(req.ContentLength) * time.Second)(req)
		}
		h := run(t, fleet.Options{Engine: e})
		h.ask(spec("/a"))
		var both sync.WaitGroup
		var invs [2]lateen.Invocation
		for i := range invs {
			both.Go(func() {
				time.Sleep(time.Duration(i) * 2 * time.Second)
				invs[i] = h.ask(spec("/a"))
			})
		}
		both.Wait()
		if invs[0].CPU != 3*time.Second || invs[1].CPU != 3*time.Second { // 2 + 2/2, 2/2 + 2
			t.Errorf("they used %s and %s, want 3s each", invs[0].CPU, invs[1].CPU)
		}
		if invs[0].Memory != 40<<20 {
			t.Errorf("memory is %d, want the peak", invs[0].Memory)
		}
		want := []lateen.Outbound{{Host: "api.example", Count: 2}}
		if diff := cmp.Diff(want, invs[0].Outbound); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStatisticsSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "histories.json")
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e, Histories: file})
		for range 40 {
			h.ask(spec("/hourly"))
			time.Sleep(time.Hour)
		}
		h.stop()
		before := h.Functions("")[0]

		h = run(t, fleet.Options{Engine: &fakeEngine{boot: time.Second}, Histories: file})
		synctest.Wait()
		after := h.Functions("")
		if len(after) != 1 || after[0].KeepAlive != before.KeepAlive || after[0].StartTime != time.Second || after[0].LastAsked != before.LastAsked {
			t.Errorf("statistics %+v, want %+v", after, before)
		}
		h.ask(spec("/hourly"))
		time.Sleep(time.Hour)
		if inv := h.ask(spec("/hourly")); inv.Start != lateen.StartPrewarmed {
			t.Errorf("the start of its second request is %s, want prewarmed", inv.Start)
		}
	})
}

func TestUnreadableStatisticsAreReplaced(t *testing.T) {
	for name, content := range map[string]string{
		"cut off":           `[{"project":"prj_1","na`,
		"of something else": `{"a":1}`,
		"nonsense":          `[{"project":"prj_1","name":"/a","history":"AAAA","start":-5},{}]`,
		"empty":             ``,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "histories.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				h := run(t, fleet.Options{Engine: &fakeEngine{}, Histories: file})
				h.ask(spec("/a"))
				h.stop()
			})
			if b, err := os.ReadFile(file); err != nil || len(b) < 500 {
				t.Errorf("the new file has %d bytes: %v", len(b), err)
			}
		})
	}
}

func TestTheFunctionsWithTheOldestRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e, Functions: 10, KeepAlive: time.Second})
		for n := range 30 {
			h.ask(spec(fmt.Sprintf("/%d", n)))
			time.Sleep(2 * time.Second)
		}
		if got := h.Stats().Known; got > 11 {
			t.Errorf("%d functions are known, want 10", got)
		}
		if last := h.Functions("")[0].Function; last != "/20" && last != "/19" {
			t.Errorf("the oldest known function is %s, want one with a recent request", last)
		}
	})
}

// The memory budget of an idle function with statistics is 1 KiB.
func TestAnIdleFunctionTakesNoMoreThanAKiB(t *testing.T) {
	const functions = 20_000
	e := &fakeEngine{}
	h := run(t, fleet.Options{Engine: e, KeepAlive: time.Nanosecond, Total: 64})
	h.ask(spec("/first"))
	before := heap()
	for n := range functions {
		h.ask(specOf(lateen.ProjectID(fmt.Sprintf("prj_%d", n/10)), lateen.DeploymentID(fmt.Sprintf("dpl_%d", n/10)), fmt.Sprintf("/%d", n)))
	}
	h.stop()
	e.instances = nil
	each := (heap() - before) / functions
	if got := h.Stats().Known; got < functions {
		t.Errorf("%d functions are known", got)
	}
	t.Logf("%d bytes each", each)
	if each > 1024 {
		t.Errorf("an idle function takes %d bytes, want 1024 at most", each)
	}
	runtime.KeepAlive(h)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
