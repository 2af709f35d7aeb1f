package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/cache"
)

func TestARefreshThatFailsIsTriedAgainAfterHalfAMinute(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		keep(t, c, home, page{body: "old", fresh: time.Second})
		time.Sleep(time.Second)
		calls := 0
		failing := page{body: "boom", status: 500, use: cache.ReuseWaiting, calls: &calls}
		refresh := func(p page, want bool) {
			t.Helper()
			if got := c.Refresh(t.Context(), home, p.making()); got != want {
				t.Errorf("refreshes is %v, want %v", got, want)
			}
			synctest.Wait()
		}
		refresh(failing, true)
		refresh(failing, false)
		time.Sleep(30*time.Second - 1)
		refresh(failing, false)
		if got := body(t, c, home); got != "old" || !c.Failed(home, time.Now()) {
			t.Errorf("is %q", got)
		}
		time.Sleep(time.Nanosecond)
		refresh(failing, true)
		if calls != 2 {
			t.Errorf("was filled %d times", calls)
		}
		time.Sleep(30 * time.Second)
		refresh(page{body: "new", fresh: time.Second, use: cache.ReuseStored}, true)
		if got := body(t, c, home); got != "new" || c.Failed(home, time.Now()) {
			t.Errorf("is %q", got)
		}
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	withCache(t, cache.Options{MaxRefresh: 8}, func(t *testing.T, c *cache.Cache) {
		p := page{use: cache.ReuseStored, wait: make(chan struct{})}
		var began []bool
		for _, name := range []string{"a", "b", "b", "c"} {
			began = append(began, c.Refresh(t.Context(), cache.NewKey("dpl_1", name), p.making()))
			synctest.Wait()
		}
		if diff := cmp.Diff([]bool{true, true, false, false}, began); diff != "" {
			t.Error(diff)
		}
		if f, leader := mustMake(t, c, home, page{body: "now", use: cache.ReuseStored}.making()); !leader || wait(t.Context(), f) != "now" {
			t.Error("refreshes delay a waiting request")
		}
		close(p.wait)
	})
}

func TestARefreshWhoseRequestIsCanceledDoesNotDelayTheNext(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range 100 {
			keep(t, c, home, page{body: "old", fresh: time.Second})
			time.Sleep(time.Second)
			began := c.Refresh(gone, home, page{body: "new", fresh: time.Second, use: cache.ReuseStored}.making())
			synctest.Wait()
			if !began && c.Failed(home, time.Now()) {
				t.Fatalf("after %d canceled requests, the page is not refreshed", n+1)
			}
		}
	})
}
