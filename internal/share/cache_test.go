package share_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen/internal/share"
)

type pages = share.Cache[string, string, int]

// flood sets n values of a tenant.
func flood(c *pages, tenant string, n int, weight int64) {
	for i := range n {
		c.Set(tenant, fmt.Sprint(tenant, i), i, weight)
	}
}

func count(c *pages, tenant string, n int) (found int) {
	for i := range n {
		if _, ok := c.Get(fmt.Sprint(tenant, i)); ok {
			found++
		}
	}
	return found
}

func TestATenantThatUsesMostLosesItsOwnValues(t *testing.T) {
	c := share.NewCache[string, string, int](1000)
	flood(c, "alone", 2000, 1)
	if n := count(c, "alone", 2000); n < 950 || n > 1000 {
		t.Errorf("one tenant alone has %d values in a cache for 1000", n)
	}
	flood(c, "quiet", 100, 1)
	flood(c, "noisy", 100_000, 1)
	if n := count(c, "quiet", 100); n != 100 {
		t.Errorf("%d of 100 values of a small tenant are cached after 100,000 of another", n)
	}
	if used := c.Used(); used > 1000 {
		t.Errorf("the values weigh %d", used)
	}
	if alone, noisy := count(c, "alone", 2000), count(c, "noisy", 100_000); alone < 400 || noisy < 400 {
		t.Errorf("two large tenants have %d and %d values, want about 450 each", alone, noisy)
	}
}

func TestAFrequentlyUsedValueIsNotEvicted(t *testing.T) {
	c := share.NewCache[string, string, int](1000)
	c.Set("a", "hot", 1, 1)
	for i := range 20_000 {
		c.Set("a", fmt.Sprint(i), i, 1)
		c.Get("hot")
	}
	if _, ok := c.Get("hot"); !ok {
		t.Error("a frequently used value was evicted by values without hits")
	}
}

func TestAValueLargerThanTheCacheDoesNotEvictAllOthers(t *testing.T) {
	c := share.NewCache[string, string, int](1000)
	flood(c, "quiet", 100, 1)
	c.Set("large", "large", 1, 1_000_000)
	if n := count(c, "quiet", 100); n != 100 {
		t.Errorf("%d of 100 values of another tenant are left", n)
	}
	if _, ok := c.Get("large"); !ok {
		t.Error("it is not cached, so it is loaded again and again")
	}
}

func TestAValueIsLoadedOnceForConcurrentCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := share.NewCache[string, string, int](1000)
		gone, leave := context.WithCancel(t.Context())
		loads, open := 0, make(chan struct{})
		fetch := func(ctx context.Context) (string, int, int64, error) {
			loads++
			select {
			case <-open:
				return "a", 7, 1, nil
			case <-ctx.Done():
				return "", 0, 0, ctx.Err()
			}
		}
		go func() {
			if _, err := c.Load(gone, "k", fetch); !errors.Is(err, context.Canceled) {
				t.Errorf("the canceled caller got %v", err)
			}
		}()
		synctest.Wait()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if v, err := c.Load(t.Context(), "k", fetch); v != 7 || err != nil {
					t.Errorf("a later caller got %d, %v", v, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(open)
		all.Wait()
		if loads != 2 {
			t.Errorf("it was loaded %d times, want once for the canceled caller and once for the others", loads)
		}
	})
}

func TestAValueDeletedDuringItsLoadIsNotCached(t *testing.T) {
	c := share.NewCache[string, string, int](1000)
	v, err := c.Load(t.Context(), "k", func(context.Context) (string, int, int64, error) {
		c.Delete("k")
		return "a", 7, 1, nil
	})
	if _, kept := c.Get("k"); v != 7 || err != nil || kept {
		t.Errorf("%d, %v, cached: %v", v, err, kept)
	}
}

func TestValuesOfADeletedTenantAreLoadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := share.NewCache[string, string, int](1000)
		c.Set("a", "cached", 1, 1)
		c.Set("b", "other", 1, 1)
		version, open := 1, make(chan struct{})
		fetch := func(context.Context) (string, int, int64, error) {
			read := version
			<-open
			return "a", read, 1, nil
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = c.Load(t.Context(), "k", fetch) })
		synctest.Wait()
		version = 2
		c.DeleteTenant("a")
		all.Go(func() {
			if v, err := c.Load(t.Context(), "k", fetch); v != 2 || err != nil {
				t.Errorf("a caller after the deletion got %d, %v, want the new value", v, err)
			}
		})
		synctest.Wait()
		close(open)
		all.Wait()
		if _, ok := c.Get("cached"); ok {
			t.Error("a value of the deleted tenant is cached")
		}
		if _, ok := c.Get("other"); !ok {
			t.Error("a value of another tenant is gone")
		}
		if v, ok := c.Get("k"); v != 2 || !ok {
			t.Errorf("cached is %d, %v", v, ok)
		}
	})
}

func TestACacheUnderConcurrentUseStaysWithinItsBound(t *testing.T) {
	c := share.NewCache[string, string, int](1000)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint(i % 300)
				switch i % 4 {
				case 0:
					c.Set(fmt.Sprint(g%3), key, i, 10)
				case 1:
					c.Delete(key)
				case 2:
					c.SetIfAbsent(fmt.Sprint(g%3), key, i, 10)
				default:
					c.Get(key)
				}
			}
		})
	}
	all.Wait()
	if used := c.Used(); used < 0 || used > 1000 {
		t.Errorf("the values weigh %d", used)
	}
}
