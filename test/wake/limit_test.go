package wake_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// The response times of these requests are no signal for the limit: some wait ten
// times as long as others. Their computation at once is one.
func TestTheLimitFollowsTheReportedEventLoopDelayOfAProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of a processor")
	}
	f, stop := run(t, fleet.Options{Engine: realEngine(t, 1), Log: slog.New(slog.DiscardHandler), PerFunction: 1})
	defer stop()
	limit := func(s lateen.FunctionSpec) (limit int, delay time.Duration) {
		for _, state := range f.Functions(s.Project) {
			if state.Function == s.Name {
				return state.Limit, state.Delay
			}
		}
		return 0, 0
	}
	for _, tt := range []struct {
		name, query string
		reached     func(limit int, delay time.Duration) bool
	}{
		{"computes", "wait=200&compute=60", func(limit int, delay time.Duration) bool { return limit <= 3 && delay > 20*time.Millisecond }},
		{"waits", "wait=200&compute=0", func(limit int, _ time.Duration) bool { return limit >= 20 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := specOf(lateen.ProjectID("prj_"+tt.name), "dpl_1", "/"+tt.name)
			asked, stop := make(chan struct{}, 32), make(chan struct{})
			var all sync.WaitGroup
			for range cap(asked) {
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := ask(t, f, s, tt.query); err != nil {
							t.Error(err)
							return
						}
						select {
						case asked <- struct{}{}:
						default:
						}
					}
				})
			}
			for deadline := time.Now().Add(3 * time.Minute); ; {
				<-asked
				got, delay := limit(s)
				if tt.reached(got, delay) {
					t.Logf("the limit is %d, its turn comes after %s", got, delay)
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("after three minutes the limit is %d, its turn comes after %s", got, delay)
					break
				}
			}
			close(stop)
			all.Wait()
		})
	}
}
