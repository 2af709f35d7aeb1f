package worker_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/meter"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
	"github.com/lateen-dev/lateen/internal/worker"
)

// forgetful is a store whose answers to the first commits are lost.
type forgetful struct {
	*store.Store

	lost atomic.Int32 // answers that are yet to be lost
}

func (f *forgetful) AddUsage(ctx context.Context, b store.UsageBatch) error {
	err := f.Store.AddUsage(ctx, b)
	if f.lost.Add(-1) >= 0 {
		return errors.Join(err, errors.New("the connection was reset"))
	}
	return err
}

// stored returns the time of all instances that is stored.
func (f *forgetful) stored(t *testing.T) (sum time.Duration) {
	t.Helper()
	rows, err := f.ListUsage(t.Context(), store.UsageFilter{Team: "team_1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		sum += row.Total().Time
	}
	return sum
}

func openStore(t *testing.T, lost int32) *forgetful {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f := &forgetful{Store: db}
	f.lost.Store(lost)
	return f
}

// meterOf runs a worker that meters usage.
func meterOf(t *testing.T, socket string) (m *meter.Meter, stop func()) {
	t.Helper()
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	usage := new(worker.Usage)
	server := run(t, worker.NewServer(worker.ServerOptions{Listener: listener, Events: worker.NewEvents(), Usage: usage}).Run)
	m = meter.New(meter.Options{Store: usage, Delay: time.Millisecond})
	end := run(t, m.Run)
	return m, func() { end(); server() }
}

func addUsage(m *meter.Meter, used time.Duration) {
	now := lateen.MillisOf(time.Now())
	m.AddUsage(lateen.UsageSample{
		Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Function: "fn", Instance: "ins_1", From: now - 1, To: now,
		Usage: lateen.Usage{Busy: lateen.StateUsage{Time: used}},
	})
}

// Some commits of the control process are not acknowledged.
func TestTheUsageOfAWorkerIsStoredOnce(t *testing.T) {
	socket, db := filepath.Join(t.TempDir(), "w"), openStore(t, 3)
	run(t, worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Usage: db}).Run)
	for process := range 2 {
		m, stop := meterOf(t, socket)
		for i := range 5 {
			addUsage(m, time.Second)
			until(t, "usage is not stored", func() bool { return m.Stats().Pending == 0 })
			if got, want := db.stored(t), time.Duration(process*6+i+1)*time.Second; got != want {
				t.Fatalf("%s are stored, want %s", got, want)
			}
		}
		addUsage(m, time.Second)
		stop() // stores the rest
	}
	if got := db.stored(t); got != 12*time.Second {
		t.Errorf("%s are stored, want 12s", got)
	}
}

func TestAWorkerKeepsUsageWhileTheControlProcessIsAway(t *testing.T) {
	socket, db := filepath.Join(t.TempDir(), "w"), openStore(t, 0)
	m, _ := meterOf(t, socket)
	for range 100 {
		addUsage(m, time.Second)
	}
	run(t, worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Usage: db}).Run)
	until(t, "usage is not stored", func() bool { return m.Stats().Pending == 0 })
	if got := db.stored(t); got != 100*time.Second {
		t.Errorf("%s are stored, want 100s", got)
	}
}
