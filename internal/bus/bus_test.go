package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/bus"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// received is a subscriber that records serials.
type received struct {
	mu      sync.Mutex
	serials []int64
}

func (r *received) add(events []lateen.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		r.serials = append(r.serials, events[i].Serial)
	}
}

func (r *received) get() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.serials)
}

// wants waits until the serials are exactly those from first to last.
func (r *received) wants(t *testing.T, first, last int64) {
	t.Helper()
	var want []int64
	for s := first; s <= last; s++ {
		want = append(want, s)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !slices.Equal(r.get(), want) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
		}
		if got := r.get(); len(got) > len(want) || t.Context().Err() != nil {
			t.Fatalf("got the serials %v, want %d to %d", got, first, last)
		}
	}
}

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// record commits n events in one transaction.
func record(t *testing.T, db *store.Store, n int) []lateen.Event {
	t.Helper()
	events := make([]lateen.Event, n)
	for i := range events {
		events[i] = lateen.Event{Type: lateen.ProjectUpdated, Subject: "prj_1"}
	}
	if err := db.AppendEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	return events
}

func opened(t *testing.T, db *store.Store, poll time.Duration, subscribers ...func([]lateen.Event)) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Options{Events: db, Poll: poll, Log: slog.New(slog.DiscardHandler)})
	for _, fn := range subscribers {
		b.Subscribe(fn)
	}
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a part until stop is called or the test ends.
func run(t *testing.T, part func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestPublishReturnsWhenTheSubscribersHaveTheEvents(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	record(t, db, 2) // before Open
	var first, second received
	b := opened(t, db, 0, first.add, second.add)
	b.Publish(t.Context(), record(t, db, 2))
	b.Publish(t.Context(), nil)
	for _, r := range []*received{&first, &second} {
		if got := r.get(); !slices.Equal(got, []int64{3, 4}) {
			t.Errorf("got the serials %v, want 3 and 4", got)
		}
	}
}

func TestPublishDeliversEarlierEventsFirstAndNoneTwice(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	var r received
	b := opened(t, db, 0, r.add)
	one, two, three := record(t, db, 1), record(t, db, 1500), record(t, db, 1)
	b.Publish(t.Context(), three)
	b.Publish(t.Context(), one)
	b.Publish(t.Context(), two)
	r.wants(t, 1, 1502)
}

func TestConcurrentPublishersDeliverInOrder(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	var r received
	b := opened(t, db, 0, r.add)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				events := record(t, db, 1)
				b.Publish(t.Context(), events)
				if got := r.get(); !slices.Contains(got, events[0].Serial) {
					t.Errorf("Publish returned before the delivery of %d", events[0].Serial)
				}
			}
		})
	}
	all.Wait()
	r.wants(t, 1, 200)
}

func TestEventsOfAnotherProcessAreDelivered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, other := open(t, path), open(t, path)
	var r received
	b := opened(t, db, 5*time.Millisecond, r.add)
	run(t, b.Run)
	record(t, other, 3)
	r.wants(t, 1, 3)
}

func TestAProcessThatMissedEventsEnds(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	b := opened(t, db, time.Millisecond)
	record(t, db, 3)
	if _, err := db.DeleteEvents(t.Context(), 1, 1, 10); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); !errors.Is(err, bus.ErrMissed) {
		t.Errorf("Run returned %v, want %v", err, bus.ErrMissed)
	}
}

// Events are deleted by age. If the clock was wrong for a time, the deleted ones are
// not the first.
func TestAProcessThatMissedEventsBetweenOthersEnds(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	b := opened(t, db, time.Millisecond)
	if err := db.AppendEvents(t.Context(), []lateen.Event{{CreatedAt: 9}, {CreatedAt: 1}, {CreatedAt: 9}}); err != nil {
		t.Fatal(err)
	}
	if n, err := db.DeleteEvents(t.Context(), 5, 0, 10); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.Run(limited); !errors.Is(err, bus.ErrMissed) {
		t.Errorf("Run returned %v, want %v", err, bus.ErrMissed)
	}
}

// silent is a log whose first answer never arrives, as on a dead connection.
type silent struct {
	*store.Store

	asked atomic.Bool
}

func (s *silent) ListEvents(ctx context.Context, after int64, limit int) ([]lateen.Event, error) {
	if s.asked.CompareAndSwap(false, true) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.ListEvents(ctx, after, limit)
}

// While Run reads the log, all changes of the platform wait for their deliveries.
func TestEventsAreDeliveredAfterAHangingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t, filepath.Join(t.TempDir(), "db"))
		var r received
		b := bus.New(bus.Options{Events: &silent{Store: db}, Log: slog.New(slog.DiscardHandler)})
		b.Subscribe(r.add)
		if err := b.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop := run(t, b.Run)
		record(t, db, 2)
		time.Sleep(time.Minute) // synthetic time
		if got := r.get(); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("got the serials %v, want 1 and 2", got)
		}
		stop()
	})
}

func TestAConsumerContinuesWhereTheLastProcessEnded(t *testing.T) {
	dir := t.TempDir()
	db, cursor := open(t, filepath.Join(dir, "db")), filepath.Join(dir, "cursor")
	record(t, db, 2) // before the first start
	var r received
	handle := func(_ context.Context, events []lateen.Event) error { r.add(events); return nil }
	b := opened(t, db, 0)
	stop := run(t, b.Consumer(cursor, handle).Run)
	b.Publish(t.Context(), record(t, db, 1))
	r.wants(t, 3, 3)
	stop()
	record(t, db, 2) // while no process runs
	b = opened(t, db, 0)
	run(t, b.Consumer(cursor, handle).Run)
	r.wants(t, 3, 5)
	b.Publish(t.Context(), record(t, db, 1))
	r.wants(t, 3, 6)
}

func TestAConsumerHandlesEventsAgainAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "db"))
	var r received
	failures := 2
	b := opened(t, db, 0)
	run(t, b.Consumer(filepath.Join(dir, "cursor"), func(_ context.Context, events []lateen.Event) error {
		if failures--; failures >= 0 {
			return errors.New("the disk is full")
		}
		r.add(events)
		return nil
	}).Run)
	b.Publish(t.Context(), record(t, db, 2))
	r.wants(t, 1, 2)
}

// The data directory may hold a cursor of a newer database than the restored one.
func TestAConsumerWithAnUnusableCursorBeginsWithTheNextEvent(t *testing.T) {
	for name, text := range map[string]string{"later": "900\n", "garbled": "x", "negative": "-1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db, cursor := open(t, filepath.Join(dir, "db")), filepath.Join(dir, "cursor")
			if err := os.WriteFile(cursor, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			record(t, db, 2)
			var r received
			b := opened(t, db, 0)
			run(t, b.Consumer(cursor, func(_ context.Context, events []lateen.Event) error { r.add(events); return nil }).Run)
			b.Publish(t.Context(), record(t, db, 1))
			r.wants(t, 3, 3)
		})
	}
}

// The cursor is saved every second, and a full disk stays full for long.
func TestAConsumerLogsOnceThatItsCursorCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, filepath.Join(dir, "db"))
		var log bytes.Buffer
		b := bus.New(bus.Options{Events: db, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := b.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, "missing", "cursor")
		stop := run(t, b.Consumer(at, func(context.Context, []lateen.Event) error { return nil }).Run)
		time.Sleep(time.Minute) // synthetic time
		if err := os.Mkdir(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := os.Stat(at); err != nil {
			t.Error(err)
		}
		stop()
		if n := strings.Count(log.String(), "could not save"); n != 1 {
			t.Errorf("it logged %d failures in a minute, want 1", n)
		}
	})
}
