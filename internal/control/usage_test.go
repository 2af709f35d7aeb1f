package control_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/store"
)

func TestUsageIsRemovedAfterItsRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := controltest.New(t, func(o *control.Options) { o.UsageAge = 10 * time.Hour })
		now := time.Now().Truncate(time.Hour)
		for n := range int64(9) {
			err := p.Store.AddUsage(t.Context(), store.UsageBatch{Writer: "w", Serial: n + 1, At: lateen.MillisOf(now), Rows: []lateen.UsageHour{
				{Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Function: "/a", Hour: lateen.MillisOf(now.Add(-time.Duration(n) * time.Hour))},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		end := p.Start(t)
		left := func(want int) {
			t.Helper()
			synctest.Wait()
			rows, err := p.Store.ListUsage(t.Context(), store.UsageFilter{Team: "team_1"})
			if err != nil || len(rows) != want {
				t.Errorf("%d rows are left, %v; want %d", len(rows), err, want)
			}
		}
		left(9)
		time.Sleep(5*time.Hour + time.Minute)
		left(6)
		time.Sleep(10 * time.Hour)
		left(0)
		end()
	})
}
