package pool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstEndsSomeTimeAfterItsLastStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Burst
		quiet := func(want time.Duration) {
			t.Helper()
			if got := r.Remaining(time.Now()); got != want {
				t.Errorf("the burst is over in %v, want %v", got, want)
			}
		}
		quiet(0)
		first, second := r.Enter(), r.Enter()
		quiet(busyInterval)
		first()
		quiet(busyInterval)
		time.Sleep(time.Hour)
		quiet(busyInterval)
		second()
		quiet(QuietAfter)
		time.Sleep(QuietAfter / 4)
		quiet(QuietAfter * 3 / 4)
		time.Sleep(QuietAfter)
		quiet(0)
	})
}

func TestTheWaitForTheEndOfABurstIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Burst
		waits := func(ctx context.Context, want time.Duration) error {
			t.Helper()
			began := time.Now()
			err := r.Over(ctx)
			if took := time.Since(began); took < want || took >= want+busyInterval {
				t.Errorf("the wait took %v, want %v", took, want)
			}
			return err
		}
		if err := waits(t.Context(), 0); err != nil {
			t.Error(err)
		}
		leave := r.Enter()
		time.AfterFunc(time.Second, leave)
		if err := waits(t.Context(), time.Second+QuietAfter); err != nil {
			t.Error(err)
		}
		defer r.Enter()()
		if err := waits(t.Context(), MaxBurstWait); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := waits(ctx, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestABurstEndsIfTheClockIsSetBack(t *testing.T) {
	var r Burst
	r.Enter()()
	if got := r.Remaining(time.Now().Add(-2 * time.Hour)); got > QuietAfter {
		t.Errorf("the burst is over in %v", got)
	}
}
