package fleet_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// besideABusyInstance keeps an instance with a concurrency limit of 1 busy for an
// hour, and then makes the next failures attempts to start fail.
func besideABusyInstance(t *testing.T, failures int) (h *harness, e *fakeEngine, s lateen.FunctionSpec) {
	t.Helper()
	e = &fakeEngine{boot: 10 * time.Millisecond, failWith: lateen.ErrFunctionFailed.With("boom")}
	var requests atomic.Int64
	e.handle = func(req *http.Request) (*http.Response, error) {
		if requests.Add(1) == 1 {
			return sleeping(time.Hour)(req)
		}
		return answer("ok"), nil
	}
	h = run(t, fleet.Options{Engine: e, MaxDuration: 2 * time.Hour, Duration: 2 * time.Hour})
	s = spec("/a")
	s.Function.MaxConcurrency = 1
	go h.call(t.Context(), s) // canceled by the end of the test
	time.Sleep(time.Second)
	e.mu.Lock()
	e.failures = failures
	e.mu.Unlock()
	return h, e, s
}

func TestAFailedStartBesideABusyInstanceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, s := besideABusyInstance(t, 2) // both attempts of one start
		began := time.Now()
		h.ask(s)
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("the request waited %v although the next start succeeds", waited)
		}
	})
}

func TestStartsThatKeepFailingBesideABusyInstanceEndInTheirError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e, s := besideABusyInstance(t, 1<<30)
		began := time.Now()
		for _, err := range h.burst(10, s) {
			if !errors.Is(err, lateen.ErrFunctionFailed) {
				t.Errorf("error %v, want that of the start", err)
			}
		}
		if waited := time.Since(began); waited < time.Second || waited > 15*time.Second {
			t.Errorf("they waited %v, want a few attempts", waited)
		}
		if starts, _ := e.counts(); starts > 1+10*2*6 { // each request of a burst may begin a start
			t.Errorf("%d attempts", starts)
		}
	})
}

func TestARequestIsServedByTheBusyInstanceBetweenFailedStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{boot: 10 * time.Millisecond, failWith: errors.New("no memory"), handle: sleeping(300 * time.Millisecond)}
		h := run(t, fleet.Options{Engine: e})
		s := spec("/a")
		s.Function.MaxConcurrency = 1
		h.ask(s)
		e.mu.Lock()
		e.failures = 1 << 30
		e.mu.Unlock()
		wantNoErrors(t, h.burst(3, s))
	})
}
