package fairqueue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// take removes n items.
func take(t *testing.T, l *fairqueue.Queue[string, int], n int) (pieces []int) {
	t.Helper()
	for range n {
		piece, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, piece)
	}
	return pieces
}

func TestTenantsAreServedInTurnAndEachInOrder(t *testing.T) {
	l := fairqueue.New[string, int](100)
	for n := range 5 {
		l.Put("much", n)
	}
	first := take(t, l, 2)
	l.Put("some", 10)
	l.Put("some", 11)
	l.Put("little", 20)
	got := append(first, take(t, l, 6)...)
	if diff := cmp.Diff([]int{0, 1, 2, 10, 20, 3, 11, 4}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAFullQueueDropsTheNewestItemOfTheLongestTenant(t *testing.T) {
	l := fairqueue.New[string, int](4)
	for n := range 4 {
		if _, full := l.Put("much", n); full {
			t.Fatalf("item %d of 4 is refused", n)
		}
	}
	for _, c := range []struct {
		tenant     string
		piece, out int
	}{{"much", 4, 4}, {"late", 10, 3}, {"late", 11, 2}, {"late", 12, 12}, {"third", 20, 1}, {"fourth", 30, 11}, {"fifth", 40, 40}} {
		if out, full := l.Put(c.tenant, c.piece); !full || out != c.out {
			t.Errorf("adding %d of %s dropped %d (%v), want %d", c.piece, c.tenant, out, full, c.out)
		}
	}
	got := take(t, l, 4)
	slices.Sort(got)
	if diff := cmp.Diff([]int{0, 10, 20, 30}, got); diff != "" {
		t.Errorf("remaining items (-want +got):\n%s", diff)
	}
}

func TestNextWaitsForAnItemOrTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fairqueue.New[string, int](10)
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		var mu sync.Mutex
		var got []int
		var ends []error
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					piece, err := l.Next(ctx)
					mu.Lock()
					if err != nil {
						ends = append(ends, err)
						mu.Unlock()
						return
					}
					got = append(got, piece)
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		for n := range 6 {
			l.Put("a", n)
		}
		synctest.Wait()
		cancel(why)
		all.Wait()
		slices.Sort(got)
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5}, got); diff != "" {
			t.Errorf("items taken by two callers (-want +got):\n%s", diff)
		}
		if len(ends) != 2 || !errors.Is(ends[0], why) || !errors.Is(ends[1], why) {
			t.Errorf("they ended with %v", ends)
		}
	})
}
