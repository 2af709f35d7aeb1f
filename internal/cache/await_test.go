package cache_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// The leader may leave between the moment at which another request joins its flight and
// the moment at which that request waits.
func TestAQueuedFillIsKeptForARequestThatHasJoined(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 1}, func(t *testing.T, c *cache.Cache) {
		first := page{body: "1", use: cache.ReuseStored, fresh: -1, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, first.making())
		f.Leave()
		how := page{body: "2", use: cache.ReuseStored, fresh: -1}.making()
		ctx, hangUp := context.WithCancel(t.Context())
		queued := cache.NewKey("dpl_1", "queued")
		g, _, err := c.Fill(ctx, queued, how)
		if err != nil {
			t.Fatal(err)
		}
		g.Leave()
		follower, _ := mustMake(t, c, queued, how)
		hangUp()
		synctest.Wait()
		close(first.wait)
		if got := wait(t.Context(), follower); got != "2" {
			t.Errorf("the request that joined got %q", got)
		}
	})
}

func TestAQueuedFillIsDroppedWithItsLastWaitingRequest(t *testing.T) {
	for _, tt := range []struct {
		name              string
		durable, followed bool
		want              int
	}{
		{name: "without its leader", want: 0},
		{name: "with another waiting request", followed: true, want: 1},
		{name: "of an on-demand revalidation", durable: true, want: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withCache(t, cache.Options{MaxFills: 1}, func(t *testing.T, c *cache.Cache) {
				first := page{body: "1", use: cache.ReuseStored, fresh: -1, wait: make(chan struct{})}
				f, _ := mustMake(t, c, home, first.making())
				f.Leave()
				calls := 0
				how := page{body: "2", use: cache.ReuseStored, fresh: -1, calls: &calls}.making()
				how.Durable = tt.durable
				ctx, hangUp := context.WithCancel(t.Context())
				queued := cache.NewKey("dpl_1", "queued")
				g, _, err := c.Fill(ctx, queued, how)
				if err != nil {
					t.Fatal(err)
				}
				g.Leave()
				got := make(chan string, 1)
				if tt.followed {
					follower, leader := mustMake(t, c, queued, how)
					if leader {
						t.Fatal("there is no flight to follow")
					}
					go func() { got <- wait(t.Context(), follower) }()
				}
				synctest.Wait()
				hangUp()
				synctest.Wait()
				close(first.wait)
				synctest.Wait()
				if calls != tt.want {
					t.Errorf("the fill started %d times, want %d", calls, tt.want)
				}
				if tt.followed {
					if text := <-got; text != "2" {
						t.Errorf("the waiting request got %q", text)
					}
				}
				if tt.want == 0 && c.Failed(queued, time.Now()) {
					t.Error("the dropped fill counts as a failure")
				}
			})
		})
	}
}

func TestAPageStoredAfterTheLookupIsServedAtTheLimitOfWaitingRequests(t *testing.T) {
	withCache(t, cache.Options{MaxWaiting: 2}, func(t *testing.T, c *cache.Cache) {
		made, _ := mustMake(t, c, home, page{body: "made", use: cache.ReuseStored, fresh: -1}.making())
		made.Leave()
		synctest.Wait()
		p := page{body: "another", use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", "another"), p.making())
		f.Leave()
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() { wait(t.Context(), f) })
		}
		synctest.Wait()
		again := page{body: "made again", use: cache.ReuseStored, fresh: -1}.making()
		again.Seen = cache.Unseen()
		g, leader := mustMake(t, c, home, again)
		if got := wait(t.Context(), g); leader || got != "made" {
			t.Errorf("the stored page is %q", got)
		}
		close(p.wait)
		waiting.Wait()
	})
}
