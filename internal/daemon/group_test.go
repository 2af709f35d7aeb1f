package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal records the ends of parts, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) part(name string, takes time.Duration) part {
	return part{name, func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(takes)
		j.note(name + " gone")
		return nil
	}}
}

func TestPartsStopInReverseOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := runAll(ctx, time.Minute, []part{j.part("store", 0), j.part("fleet", time.Second), j.part("edge", 3*time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"edge gone", "fleet gone", "store gone"}; !slices.Equal(j.lines, want) {
			t.Errorf("the parts ended in the order %v, want %v", j.lines, want)
		}
	})
}

func TestTheFirstFailureStopsAllPartsAndIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		boom := errors.New("boom")
		err := runAll(t.Context(), time.Minute, []part{
			j.part("store", 0),
			{"edge", func(context.Context) error { return boom }},
			{"quiet", func(ctx context.Context) error { <-ctx.Done(); return nil }},
		})
		if !errors.Is(err, boom) || strings.Count(err.Error(), "edge: boom") != 1 {
			t.Errorf("got %q, want edge: boom once", err)
		}
		if !slices.Equal(j.lines, []string{"store gone"}) {
			t.Errorf("the parts %v ended, want the store", j.lines)
		}
	})
}

func TestAPartThatEndsByItselfIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := runAll(t.Context(), time.Minute, []part{{"fleet", func(context.Context) error { return nil }}})
		if err == nil || !strings.Contains(err.Error(), "fleet: ended unexpectedly") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAStuckPartIsAbandonedAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := runAll(ctx, time.Second, []part{j.part("store", 0), {"fleet", func(context.Context) error { <-release; return nil }}})
		if err == nil || !strings.Contains(err.Error(), "fleet: still running after 1s") {
			t.Errorf("got %v", err)
		}
		if !slices.Equal(j.lines, []string{"store gone"}) {
			t.Errorf("the parts %v ended, want the store", j.lines)
		}
		close(release)
		synctest.Wait()
	})
}
