package cache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// hostClock is a host's clock that a test sets.
type hostClock struct{ off atomic.Int64 }

func (c *hostClock) now() time.Time       { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *hostClock) set(by time.Duration) { c.off.Add(int64(by)) }

// stateAt is the state of the entry of key at now.
func stateAt(t *testing.T, c *cache.Cache, key cache.Key, now time.Time) string {
	t.Helper()
	e := c.Get(key)
	if e == nil {
		return "none"
	}
	defer e.Close()
	s, why := c.State(key.Scope, e, now)
	return fmt.Sprint([]string{"fresh", "stale", "expired"}[s], " ", why)
}

// An invalidation applies to every page filled before it, and to no page filled
// after it, at any setting of the host's clock.
func TestInvalidationsCountAfterTheClockIsSetBack(t *testing.T) {
	for name, restart := range map[string]func(t *testing.T, dir string){
		"by the same process": nil,
		"after a stop":        func(*testing.T, string) {},
		"after a crash": func(t *testing.T, dir string) {
			t.Helper() // simulates a crash: the bound was written in advance, and no stop has lowered it
			if err := os.WriteFile(filepath.Join(dir, "clock"), []byte("9000000000000000000\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var host hostClock
			o := cache.Options{Dir: t.TempDir(), Now: host.now}
			key := cache.NewKey("dpl_1", "page")
			c, err := cache.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, c)
			defer func() { stop() }()
			tagged := page{body: "old", fresh: -1, tags: []string{"tag"}}
			keep(t, c, key, tagged)
			if restart != nil {
				stop()
				restart(t, o.Dir)
				if c, err = cache.Open(o); err != nil {
					t.Fatal(err)
				}
				stop = run(t, c)
			}
			host.set(-time.Hour)
			if err := c.Invalidate([]string{"dpl_1"}, []string{"tag"}, 0); err != nil {
				t.Fatal(err)
			}
			if got := stateAt(t, c, key, host.now()); got != "expired stale_tag" {
				t.Errorf("the page filled before the invalidation is %s, want it expired", got)
			}
			tagged.body = "new"
			keep(t, c, key, tagged)
			if got := body(t, c, key); got != "new" {
				t.Errorf("the page filled after the invalidation is not stored: %q", got)
			}
			if got := stateAt(t, c, key, time.Now()); got != "fresh " {
				t.Errorf("the page filled after the invalidation is %s, want it fresh", got)
			}
		})
	}
}

// The age of a page that was completed in the future is unknown.
func TestAPageFromBeforeTheClockWasSetBackIsStale(t *testing.T) {
	c := running(t, cache.Options{})
	timed, lasting := cache.NewKey("dpl_1", "timed"), cache.NewKey("dpl_1", "lasting")
	keep(t, c, timed, page{body: "x", fresh: 2 * time.Hour})
	keep(t, c, lasting, page{body: "x", fresh: -1})
	earlier := time.Now().Round(0).Add(-time.Hour)
	if got := stateAt(t, c, timed, earlier); got != "stale stale_time" {
		t.Errorf("a page from the future is %s, want it stale", got)
	}
	if got := stateAt(t, c, lasting, earlier); got != "fresh " {
		t.Errorf("a page that is fresh until it is invalidated is %s", got)
	}
}

// A fill that started before Since is not mistaken for one that started after it.
func TestAFillFromBeforeTheClockWasSetBackIsFollowedByAnother(t *testing.T) {
	var host hostClock
	c := running(t, cache.Options{Now: host.now})
	key := cache.NewKey("dpl_1", "page")
	keep(t, c, key, page{body: "old", fresh: -1})
	host.set(-time.Hour)
	how := page{body: "new", fresh: -1, use: cache.ReuseStored}.making()
	how.Since, how.Durable = c.Now(), true
	f, leader, err := c.Fill(t.Context(), key, how)
	if err != nil || !leader {
		t.Fatalf("leader %v, %v", leader, err)
	}
	f.Leave()
	if e, err := f.Wait(t.Context()); err != nil || string(e.Bytes()) != "new" {
		t.Errorf("the page is %v, %v; want it filled since", e, err)
	}
}
