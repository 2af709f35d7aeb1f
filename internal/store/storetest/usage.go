package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// usageOf returns a row with different values in all fields of its usage.
func usageOf(p lateen.ProjectID, d lateen.DeploymentID, function string, hour lateen.Millis) lateen.UsageHour {
	u := lateen.UsageHour{Team: team, Project: p, Deployment: d, Function: function, Hour: hour}
	for i, state := range u.States() {
		n := int64(i)
		*state = lateen.StateUsage{Time: time.Duration(1<<40 + n), Memory: 1<<61 + n, CPU: time.Duration(1<<30 + n)}
	}
	return u
}

// twice returns a row with the sums of two equal ones.
func twice(u lateen.UsageHour) lateen.UsageHour {
	u.Add(u.Usage)
	return u
}

func testUsage(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a, b, c := usageOf(project, "dpl_1", "/a", 100), usageOf(project, "dpl_1", "/b", 100), usageOf("prj_2", "dpl_2", "/a", 200)
	other := usageOf("prj_3", "dpl_3", "/a", 100)
	other.Team = "team_2"
	add := func(writer string, serial int64, rows ...lateen.UsageHour) {
		t.Helper()
		check(t, s.AddUsage(ctx, store.UsageBatch{Writer: writer, Serial: serial, At: lateen.Millis(serial), Rows: rows}))
	}
	all := store.UsageFilter{Team: team}
	add("w1", 1, a, c)
	add("w1", 1, a, c) // the same batch again
	wantResult(t, []lateen.UsageHour{a, c})(s.ListUsage(ctx, all))
	add("w1", 3, a, b, other)
	add("w1", 2, b) // a serial below the last one was added before
	wantResult(t, []lateen.UsageHour{twice(a), b, c})(s.ListUsage(ctx, all))
	add("w2", 1, b) // another writer has serials of its own
	add("w2", 2)
	wantResult(t, []lateen.UsageHour{twice(a), twice(b), c})(s.ListUsage(ctx, all))
	wantResult(t, []lateen.UsageHour{twice(a), twice(b)})(s.ListUsage(ctx, store.UsageFilter{Team: team, Project: project}))
	wantResult(t, []lateen.UsageHour{c})(s.ListUsage(ctx, store.UsageFilter{Team: team, Since: 101, Until: 201}))
	wantResult(t, []lateen.UsageHour{})(s.ListUsage(ctx, store.UsageFilter{Team: team, Since: 101, Until: 200}))
	wantResult(t, []lateen.UsageHour{other})(s.ListUsage(ctx, store.UsageFilter{Team: "team_2"}))
	wantResult(t, []lateen.UsageHour{})(s.ListUsage(ctx, store.UsageFilter{Team: "team_2", Project: project}))

	// A batch and its serial are stored together.
	failed := errors.New("failed")
	wantError(t, s.Update(ctx, func(q *store.Queries) error {
		check(t, q.AddUsage(ctx, store.UsageBatch{Writer: "w2", Serial: 3, Rows: []lateen.UsageHour{c}}))
		return failed
	}), failed)
	add("w2", 3, c)
	add("w2", 3, c)
	wantResult(t, []lateen.UsageHour{twice(c)})(s.ListUsage(ctx, store.UsageFilter{Team: team, Project: "prj_2"}))

	wantResult(t, int64(3))(s.ExpireUsage(ctx, 200))
	wantResult(t, []lateen.UsageHour{twice(c)})(s.ListUsage(ctx, all))
}

// A function may have a name of any length and any bytes. A database that could not
// store one would refuse the batch, and with it the usage of other teams.
func testUsageNames(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var name strings.Builder
	for i := 0; name.Len() < 4000; i++ { // incompressible, as an index stores it
		fmt.Fprintf(&name, "%x", sha256.Sum256([]byte{byte(i)}))
	}
	long := usageOf(project, "dpl_1", name.String()+"a", 100)
	other := usageOf(project, "dpl_1", name.String()+"b", 100)
	raw := usageOf(project, "dpl_1", strings.Repeat("\xff\x00", 2000), 100)
	short := usageOf("prj_2", "dpl_2", "/a", 200)
	for serial := range int64(2) {
		check(t, s.AddUsage(ctx, store.UsageBatch{Writer: "w1", Serial: serial + 1, Rows: []lateen.UsageHour{long, other, raw, short}}))
	}
	wantResult(t, []lateen.UsageHour{twice(short)})(s.ListUsage(ctx, store.UsageFilter{Team: team, Project: "prj_2"}))
	rows, err := s.ListUsage(ctx, store.UsageFilter{Team: team, Project: project})
	check(t, err)
	if len(rows) != 3 {
		t.Fatalf("got %d rows, want one for each name", len(rows))
	}
	for _, row := range rows {
		if row.Usage != twice(long).Usage {
			t.Errorf("%.20q has the usage %+v, want %+v", row.Function, row.Usage, twice(long).Usage)
		}
	}
}

// testUsageWriters has several writers add to the same hours at the same time, and
// repeat each batch.
func testUsageWriters(t *testing.T, s *store.Store) {
	ctx := t.Context()
	const writers, batches = 4, 10
	row := usageOf(project, "dpl_1", "/a", 100)
	for _, state := range row.States() {
		state.Memory = 1
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for serial := range int64(batches) {
				b := store.UsageBatch{Writer: fmt.Sprint("w", w), Serial: serial + 1, Rows: []lateen.UsageHour{row}}
				if err := errors.Join(s.AddUsage(ctx, b), s.AddUsage(ctx, b)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	want := row
	for range writers*batches - 1 {
		want.Add(row.Usage)
	}
	wantResult(t, []lateen.UsageHour{want})(s.ListUsage(ctx, store.UsageFilter{Team: team}))
}
