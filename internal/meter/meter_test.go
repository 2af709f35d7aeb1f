package meter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/meter"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

const hour = lateen.Millis(3_600_000)

// sampleOf returns a sample of 50 seconds that ends at a time of the synthetic clock.
func sampleOf(function string, to time.Time) lateen.UsageSample {
	return lateen.UsageSample{
		Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Function: function, Instance: "ins_1",
		From: lateen.MillisOf(to.Add(-50 * time.Second)), To: lateen.MillisOf(to),
		Usage: lateen.Usage{
			Busy: lateen.StateUsage{Time: 20 * time.Second, Memory: 20_000 << 20, CPU: 10 * time.Second},
			Idle: lateen.StateUsage{Time: 30 * time.Second, Memory: 30_000 << 20, CPU: time.Second},
		},
	}
}

func times(n int, u lateen.Usage) (sum lateen.Usage) {
	for range n {
		sum.Add(u)
	}
	return sum
}

// flaky is a real store whose calls fail while fail is set: before the write, or
// after it as if the answer of a commit was lost.
type flaky struct {
	*store.Store

	mu     sync.Mutex
	before error
	after  error
}

func (f *flaky) AddUsage(ctx context.Context, b store.UsageBatch) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		return before
	}
	return errors.Join(f.Store.AddUsage(ctx, b), after)
}

func (f *flaky) fail(before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// fixture is a running meter over a SQLite database.
type fixture struct {
	*meter.Meter

	t    *testing.T
	db   *flaky
	log  bytes.Buffer
	stop func()
}

func run(t *testing.T, path string, o meter.Options) *fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: &flaky{Store: s}}
	o.Store, o.Log = f.db, slog.New(slog.NewTextHandler(&f.log, nil))
	f.Meter = meter.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		f.stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// stored returns the stored rows, and their sum.
func (f *fixture) stored() (rows []lateen.UsageHour, sum lateen.Usage) {
	f.t.Helper()
	rows, err := f.db.ListUsage(f.t.Context(), store.UsageFilter{Team: "team_1"})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, row := range rows {
		sum.Add(row.Usage)
	}
	return rows, sum
}

func TestASampleIsStoredWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(t.TempDir(), "db"), meter.Options{})
		s := sampleOf("/a", time.Now().Truncate(time.Hour).Add(time.Hour+20*time.Second)) // 30 s of it are in the hour before
		f.AddUsage(s)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		rows, sum := f.stored()
		if len(rows) != 2 || rows[1].Hour-rows[0].Hour != hour || sum != s.Usage || rows[0].Total().Time != 30*time.Second {
			t.Errorf("got %+v, want the sample in two hours", rows)
		}
		if n := f.Stats().Pending; n != 0 {
			t.Errorf("%d rows are pending", n)
		}
	})
}

func TestTheEndOfThePlatformStoresAllSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(t.TempDir(), "db"), meter.Options{})
		for i := range 2000 { // several batches
			f.AddUsage(sampleOf(fmt.Sprint("/", i), time.Now()))
		}
		f.stop()
		if rows, sum := f.stored(); len(rows) != 2000 || sum != times(2000, sampleOf("", time.Now()).Usage) {
			t.Errorf("%d rows with %+v are stored", len(rows), sum)
		}
	})
}

// The answer of some commits is lost, so the meter writes these batches again.
func TestABatchWhoseResultIsUnknownIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(t.TempDir(), "db"), meter.Options{})
		for i := range 40 {
			if i%4 == 0 {
				f.db.fail(nil, errors.New("the connection was reset"))
			}
			if i%4 == 3 {
				f.db.fail(nil, nil)
			}
			f.AddUsage(sampleOf("/a", time.Now()))
			time.Sleep(7 * time.Second)
		}
		f.stop()
		_, sum := f.stored()
		if failures := f.Stats().Failures; failures < 10 || sum != times(40, sampleOf("", time.Now()).Usage) {
			t.Errorf("after %d failures: %+v is stored", failures, sum)
		}
	})
}

// The database does not answer for three days, in which more functions run in more
// hours than the meter keeps rows.
func TestAnUnreachableStoreLosesNoUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(t.TempDir(), "db"), meter.Options{Rows: 50})
		f.db.fail(errors.New("the database does not answer"), nil)
		n := 0
		for hours := range 72 {
			for i := range 10 + hours {
				f.AddUsage(sampleOf(fmt.Sprint("/", i), time.Now()))
				n++
			}
			time.Sleep(time.Hour)
			if pending := f.Stats().Pending; pending > 50+500+1 {
				t.Fatalf("%d rows are in memory", pending)
			}
		}
		f.db.fail(nil, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		rows, sum := f.stored()
		if sum != times(n, sampleOf("", time.Now()).Usage) {
			t.Errorf("%+v is stored of %d samples", sum, n)
		}
		functions := map[string]bool{}
		for _, row := range rows {
			functions[row.Function] = true
		}
		if len(functions) <= 10 || !functions[""] {
			t.Errorf("rows of %d functions are stored", len(functions))
		}
		stats := f.Stats()
		if stats.Pending != 0 || stats.Coalesced == 0 || stats.Failures < 1000 {
			t.Errorf("the stats are %+v", stats)
		}
		f.stop()
		if log := f.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "usage is not stored") || !strings.Contains(log, "usage is stored again") {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestUsageThatIsLostAtTheEndIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := run(t, filepath.Join(t.TempDir(), "db"), meter.Options{})
		f.db.fail(errors.New("the database does not answer"), nil)
		f.AddUsage(sampleOf("/a", time.Now()))
		time.Sleep(time.Minute)
		f.stop()
		if log := f.log.String(); !strings.Contains(log, `level=ERROR msg="usage is lost`) || !strings.Contains(log, "rows=1") {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// blocked is a store whose writes wait until release is closed. It records the size
// of each batch.
type blocked struct {
	*store.Store

	release chan struct{}
	batches []int
}

func (b *blocked) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	<-b.release
	b.batches = append(b.batches, len(batch.Rows))
	return b.Store.AddUsage(ctx, batch)
}

// 10,000 instances of as many functions are sampled while the store takes no write:
// the meter takes all samples meanwhile, and writes them in bounded batches later.
func TestSamplesAreTakenDuringAWriteAndWrittenInBatches(t *testing.T) {
	const instances = 10_000
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
		if err != nil {
			t.Fatal(err)
		}
		db := &blocked{Store: s, release: make(chan struct{})}
		m := meter.New(meter.Options{Store: db})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		at := time.Now().Truncate(time.Hour).Add(30 * time.Minute)
		for round := range 3 { // the first write begins, and waits, during the second round
			for i := range instances {
				m.AddUsage(sampleOf(fmt.Sprint("/", i), at.Add(time.Duration(round)*time.Minute)))
			}
			time.Sleep(50 * time.Second)
		}
		if rows := m.Stats().Pending; rows != instances+500 {
			t.Errorf("%d rows are pending, want one for each function, and the batch that is being written", rows)
		}
		close(db.release)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		rows, err := s.ListUsage(t.Context(), store.UsageFilter{Team: "team_1"})
		if err != nil || len(rows) != instances {
			t.Errorf("%d rows are stored, %v", len(rows), err)
		}
		var sum lateen.Usage
		for _, row := range rows {
			sum.Add(row.Usage)
		}
		if sum != times(3*instances, sampleOf("", at).Usage) {
			t.Errorf("%+v is stored", sum)
		}
		if n := len(db.batches); n != (instances+500)/500 || slices.Max(db.batches) != 500 {
			t.Errorf("the batches have %v rows", db.batches)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
