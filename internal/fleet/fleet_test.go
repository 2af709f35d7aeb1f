package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

func TestABurstOnAnIdleFunctionStartsOnlyTheInstancesItNeeds(t *testing.T) {
	for _, tt := range []struct {
		name     string
		boot     time.Duration
		handle   time.Duration
		requests int
		most     int
	}{
		{"long requests of an unknown function", 100 * time.Millisecond, time.Second, 200, 13},
		{"short requests, which the first instances serve", 100 * time.Millisecond, 5 * time.Millisecond, 500, 4},
		{"one request", time.Second, 0, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{boot: tt.boot, handle: sleeping(tt.handle)}
				h := run(t, fleet.Options{Engine: e, Processors: 2})
				wantNoErrors(t, h.burst(tt.requests, spec("/a")))
				if starts, _ := e.counts(); starts > tt.most {
					t.Errorf("%d requests started %d instances, want %d at most", tt.requests, starts, tt.most)
				}
			})
		})
	}
}

func TestASecondRequestFindsTheInstanceWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond}
		h := run(t, fleet.Options{Engine: e})
		first, _, err := h.call(t.Context(), spec("/a"))
		if err != nil || first.Start != lateen.StartBlank || first.Claim != time.Millisecond {
			t.Fatalf("first call: %+v, %v; want a blank start of 1ms", first, err)
		}
		second, text, err := h.call(t.Context(), spec("/a"))
		if err != nil || text != "ok" || second.Start != lateen.StartWarm || second.Instance != first.Instance {
			t.Errorf("second call: %+v %q, %v; want it warm on %s", second, text, err, first.Instance)
		}
	})
}

// The race detector fails the test if Close returns while the record is still being
// written.
func TestARecordIsCompleteAfterTheBodyIsClosed(t *testing.T) {
	e := &fakeEngine{}
	h := run(t, fleet.Options{Engine: e})
	for range 200 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/", nil)
		if err != nil {
			t.Fatal(err)
		}
		var inv lateen.Invocation
		resp, err := h.Invoke(t.Context(), spec("/a"), req, &inv)
		if err != nil {
			t.Fatal(err)
		}
		var closers sync.WaitGroup
		closers.Go(func() { resp.Body.Close() })
		resp.Body.Close()
		if text, err := json.Marshal(&inv); err != nil || len(text) == 0 {
			t.Error(err)
		}
		closers.Wait()
	}
}

func TestAFailedStartIsRetriedForTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{failures: 1, failWith: errors.New("no worker")}
		h := run(t, fleet.Options{Engine: e})
		if _, text, err := h.call(t.Context(), spec("/a")); err != nil || text != "ok" {
			t.Errorf("got %q, %v; want ok", text, err)
		}
	})
}

func TestAllWaitingRequestsGetTheErrorOfAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond, failures: 1000, failWith: lateen.ErrFunctionFailed.With("boom at line 3")}
		h := run(t, fleet.Options{Engine: e})
		for _, err := range h.burst(10, spec("/a")) {
			if !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "line 3") {
				t.Fatalf("got %v, want the function's own error", err)
			}
		}
		if starts, _ := e.counts(); starts != 2 {
			t.Errorf("10 requests made %d attempts, want 2", starts)
		}
	})
}

func TestAnUnknownErrorOfTheEngineIsAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{failures: 2, failWith: errors.New("fork: out of pids")}
		h := run(t, fleet.Options{Engine: e})
		if _, _, err := h.call(t.Context(), spec("/a")); !errors.Is(err, lateen.ErrFunctionStart) {
			t.Errorf("got %v, want function_start_failed", err)
		}
	})
}

func TestARequestPastTheQueueIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Hour}
		h := run(t, fleet.Options{Engine: e, Queue: 3, StartTimeout: time.Second})
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { h.call(t.Context(), spec("/a")) })
		}
		synctest.Wait()
		asked := time.Now()
		_, _, err := h.call(t.Context(), spec("/a"))
		if !errors.Is(err, lateen.ErrFunctionThrottled) || time.Since(asked) != 0 {
			t.Errorf("got %v after %s, want function_throttled at once", err, time.Since(asked))
		}
		waiting.Wait()
	})
}

func TestAnIdleInstanceStopsAndTheNextRequestStartsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Minute})
		h.call(t.Context(), spec("/a"))
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if _, running := e.counts(); running != 1 {
			t.Fatal("the instance stopped before its keep-alive was over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, running := e.counts(); running != 0 {
			t.Fatal("the instance is still there after its keep-alive")
		}
		if got := h.Stats(); got != (fleet.Stats{Known: 1}) {
			t.Errorf("an idle function leaves %+v behind, want nothing", got)
		}
		if inv, _, err := h.call(t.Context(), spec("/a")); err != nil || inv.Start != lateen.StartBlank {
			t.Errorf("the request after zero: %+v, %v", inv, err)
		}
	})
}

func TestBackgroundWorkKeepsTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e, KeepAlive: time.Minute})
		h.call(t.Context(), spec("/a"))
		e.instances[0].busy.Store(1)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if _, running := e.counts(); running != 1 {
			t.Fatal("the instance stopped during waitUntil work")
		}
		e.instances[0].busy.Store(0)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if _, running := e.counts(); running != 0 {
			t.Error("the instance outlives its work")
		}
	})
}

func TestATimeoutReplacesTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := spec("/a")
		slow.Function.MaxDuration = 10
		e := &fakeEngine{handle: sleeping(time.Minute)}
		h := run(t, fleet.Options{Engine: e, Grace: 20 * time.Second})
		asked := time.Now()
		_, _, err := h.call(t.Context(), slow)
		if !errors.Is(err, lateen.ErrFunctionTimeout) || time.Since(asked) != 10*time.Second {
			t.Fatalf("got %v after %s, want a timeout after 10s", err, time.Since(asked))
		}
		e.handle = nil
		inv, _, err := h.call(t.Context(), slow)
		if err != nil || inv.Start == lateen.StartWarm {
			t.Errorf("the next request: %+v, %v; want a fresh instance", inv, err)
		}
	})
}

func TestABodyCutOffByATimeoutFailsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := spec("/a")
		slow.Function.MaxDuration = 1
		e := &fakeEngine{handle: func(req *http.Request) (*http.Response, error) {
			r, w := io.Pipe()
			context.AfterFunc(req.Context(), func() { _ = w.CloseWithError(req.Context().Err()) })
			return &http.Response{StatusCode: 200, Body: r}, nil
		}}
		h := run(t, fleet.Options{Engine: e})
		if _, _, err := h.call(t.Context(), slow); !errors.Is(err, lateen.ErrFunctionTimeout) {
			t.Errorf("reading the body: %v, want a timeout", err)
		}
	})
}

func TestARetriedRequestHasItsWholeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		var seen string
		refuse := true
		e.handle = func(req *http.Request) (*http.Response, error) {
			if refuse {
				refuse = false
				_ = req.Body.Close()
				return nil, engine.ErrNotTaken
			}
			b, err := io.ReadAll(req.Body)
			seen = string(b)
			return answer("ok"), err
		}
		h := run(t, fleet.Options{Engine: e})
		inv, _, err := h.call(t.Context(), spec("/a"))
		if err != nil || seen != "body" || !inv.Retried {
			t.Errorf("body %q, %+v, %v; want the whole body at the second instance", seen, inv, err)
		}
	})
}

func TestARequestFailsAfterSeveralInstancesThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{handle: func(*http.Request) (*http.Response, error) { return nil, engine.ErrNotTaken }}
		h := run(t, fleet.Options{Engine: e})
		if _, _, err := h.call(t.Context(), spec("/a")); !errors.Is(err, lateen.ErrFunctionNoResponse) {
			t.Errorf("got %v, want no_response_from_function", err)
		}
	})
}

func TestAnInstanceIsRemovedWhenItsProcessEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e})
		h.call(t.Context(), spec("/a"))
		e.instances[0].exit()
		synctest.Wait()
		if got := h.Stats().Running; got != 0 {
			t.Errorf("%d instances running, want none", got)
		}
	})
}

func TestAtTheTotalTheLongestIdleInstanceIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e, Total: 2})
		for _, name := range []string{"/a", "/b"} {
			h.call(t.Context(), spec(name))
			time.Sleep(time.Second)
		}
		if _, _, err := h.call(t.Context(), spec("/c")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !e.instances[0].exited() || e.instances[1].exited() {
			t.Error("want the instance of /a evicted, not that of /b")
		}
	})
}

func TestARequestWaitingAtTheTotalIsServedWhenAnotherInstanceBecomesIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{handle: sleeping(10 * time.Second)}
		h := run(t, fleet.Options{Engine: e, Total: 1})
		var both sync.WaitGroup
		both.Go(func() { h.call(t.Context(), spec("/a")) })
		time.Sleep(time.Second)
		asked := time.Now()
		if _, _, err := h.call(t.Context(), spec("/b")); err != nil {
			t.Error(err)
		}
		if waited := time.Since(asked); waited != 19*time.Second {
			t.Errorf("/b was answered after %s, want 19s: right after /a", waited)
		}
		both.Wait()
	})
}

func TestARequestWaitingAtTheTotalIsServedDespiteALateIdleReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{handle: sleeping(time.Second), idleReport: 5 * time.Millisecond}
		h := run(t, fleet.Options{Engine: e, Total: 1})
		var all sync.WaitGroup
		asked := time.Now()
		for n := range 10 {
			all.Go(func() { h.call(t.Context(), spec(fmt.Sprint("/", n))) })
		}
		all.Wait()
		if took := time.Since(asked); took > 10*(time.Second+10*time.Millisecond) {
			t.Errorf("ten functions that share one instance took %s for a second of work each", took)
		}
		time.Sleep(time.Second) // until the engine reports the last end
	})
}

func TestACanceledRequestReleasesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second}
		h := run(t, fleet.Options{Engine: e, Concurrency: 1, PerFunction: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := h.call(ctx, spec("/a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the client's own end", err)
		}
		if _, _, err := h.call(t.Context(), spec("/a")); err != nil {
			t.Fatal(err)
		}
		if got := h.Stats(); got.InFlight != 0 || got.Waiting != 0 || got.Running != 1 {
			t.Errorf("left behind: %+v", got)
		}
	})
}

func TestADeletedDeploymentHasNoInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		h := run(t, fleet.Options{Engine: e})
		h.call(t.Context(), spec("/a"))
		h.Forget("dpl_1")
		synctest.Wait()
		if _, running := e.counts(); running != 0 {
			t.Error("the instance is still there")
		}
	})
}

func TestRequestsOfADeletedDeploymentAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Second, handle: sleeping(10 * time.Second)}
		h := run(t, fleet.Options{Engine: e, Concurrency: 1, PerFunction: 1})
		ended := make(chan error, 3)
		for range 3 { // one is in flight at the deletion, the others wait
			go func() { _, _, err := h.call(t.Context(), spec("/a")); ended <- err }()
		}
		time.Sleep(5 * time.Second)
		h.Forget("dpl_1")
		for range 3 {
			if err := <-ended; err != nil {
				t.Errorf("a request from before got %v", err)
			}
		}
		synctest.Wait()
		if _, running := e.counts(); running != 0 {
			t.Errorf("%d instances are still there", running)
		}
		if got := h.Stats(); got != (fleet.Stats{Known: 1}) {
			t.Errorf("left behind: %+v", got)
		}
	})
}

func TestShutdownRefusesNewRequestsAndStopsEveryInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Minute}
		f := fleet.New(fleet.Options{Engine: e, StartTimeout: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		h := &harness{Fleet: f, t: t}
		held := make(chan error, 1)
		go func() { _, _, err := h.call(t.Context(), spec("/a")); held <- err }()
		synctest.Wait()
		cancel()
		if err := <-held; !errors.Is(err, lateen.ErrFunctionStart) {
			t.Errorf("the held request got %v, want function_start_failed", err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, _, err := h.call(t.Context(), spec("/a")); !errors.Is(err, lateen.ErrFunctionStart) {
			t.Errorf("a late request got %v, want function_start_failed", err)
		}
	})
}

func TestARequestGetsTheInstanceItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: time.Millisecond, handle: sleeping(20 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e})
		made := specOf("prj_1", "dpl_1", "/a")
		made.Function.MaxConcurrency = 1
		wantNoErrors(t, h.burst(3, made)) // concurrently, so that there are three instances
		seen := map[lateen.InstanceID]bool{}
		for _, i := range slices.Clone(e.instances) {
			ask := func(wanted lateen.InstanceID) lateen.InstanceID {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/", nil)
				if err != nil {
					t.Fatal(err)
				}
				inv := lateen.Invocation{Instance: wanted}
				resp, err := h.Invoke(t.Context(), made, req, &inv)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return inv.Instance
			}
			if got := ask(i.id); got != i.id {
				t.Errorf("got %s, want %s", got, i.id)
			}
			seen[i.id] = true
			if got := ask("stopped"); got == "" {
				t.Error("no instance took the request")
			}
		}
		if len(seen) < 2 {
			t.Fatalf("there are %d instances", len(seen))
		}
	})
}
