// Package cache stores responses in memory and in a directory, so that they survive
// a restart. Entries have tags, groups and staleness, and concurrent requests for
// one entry share a single cache fill. The packages that use it choose the keys and
// the lifetimes; the first of them stores prerendered pages.
package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Soft is the grace of an invalidation after which stale entries may be served until
// they are no longer usable.
const Soft time.Duration = -1

// Cache stores entries, and fills those that are missing. Use [Open].
type Cache struct {
	storage *storage
	flights *flights
}

// Open opens the cache in o.Dir. It removes the unfinished files of a process that
// crashed.
func Open(o Options) (*Cache, error) {
	o.setDefaults()
	order, err := openClock(filepath.Join(o.Dir, "clock"), o.Now)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	st := newStorage(o, order)
	if err := os.RemoveAll(st.tmp()); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	for _, dir := range []string{st.tmp(), st.entries()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open cache: %w", err)
		}
	}
	return &Cache{storage: st, flights: newFlights(st)}, nil
}

// Run executes cache fills and maintains the directory until ctx ends; the waiting
// requests then get an error. No fill starts before Run.
func (c *Cache) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { c.storage.maintain(ctx) })
	wg.Go(func() { c.flights.run(ctx) })
	wg.Wait()
	if err := c.storage.clock.lowerBound(); err != nil {
		c.storage.o.Log.Warn("cache clock bound not lowered", "err", err)
	}
	return nil
}

// Now reads the clock that orders cache fills and invalidations. Each reading is
// above all earlier ones, even where the host's clock is set back.
func (c *Cache) Now() time.Time { return c.storage.now() }

// Get returns the entry of key, to be closed, or nil. It returns nil for an
// unreadable entry.
func (c *Cache) Get(key Key) *Entry { return c.storage.get(key) }

// Seed puts e, whose body is in memory and which is stored elsewhere, into memory
// unless key has an entry. Seed writes no file.
func (c *Cache) Seed(key Key, e *Entry) { c.storage.seed(key, e) }

// State returns the state of e, an entry of scope, at now.
func (c *Cache) State(scope string, e *Entry, now time.Time) (State, Reason) {
	s := c.storage.scope(scope)
	if s == nil {
		return Expired, ByTag
	}
	return e.state(now, s.marks.freshness(e))
}

// Invalidate makes the entries of the scopes with one of tags stale. They expire
// once grace has passed: immediately if it is 0, never if it is [Soft]. The
// invalidation is durable on return; it takes effect immediately even if Invalidate
// fails.
func (c *Cache) Invalidate(scopes, tags []string, grace time.Duration) error {
	return c.invalidate(scopes, tagNames(tags), grace)
}

// InvalidateOnce is [Cache.Invalidate] for one scope, unless that had an invalidation with
// the same ID shortly before. "" is no ID.
func (c *Cache) InvalidateOnce(id, scope string, tags []string, grace time.Duration) error {
	return c.storage.invalidateOnce(id, scope, tags, grace)
}

// ExpirePages expires all pages of the scopes, as [Cache.Invalidate] does.
func (c *Cache) ExpirePages(scopes []string) error {
	return c.invalidate(scopes, []string{pagesName}, 0)
}

// ExpireData expires all values of the scopes, as [Cache.Invalidate] does.
func (c *Cache) ExpireData(scopes []string) error {
	return c.invalidate(scopes, []string{dataName}, 0)
}

func (c *Cache) invalidate(scopes, names []string, grace time.Duration) error {
	for _, name := range scopes {
		if s := c.storage.scope(name); s != nil && len(names) > 0 {
			if err := c.storage.invalidate(s, names, c.storage.clock.tick(), grace); err != nil {
				return err
			}
		}
	}
	return nil
}

// Invalidated is the time of the last invalidation of scope by tag, by [Cache.Now];
// the zero time is never.
func (c *Cache) Invalidated(scope string) time.Time {
	if s := c.storage.scope(scope); s != nil {
		if at := s.marks.latest.Load(); at != 0 {
			return time.Unix(0, at)
		}
	}
	return time.Time{}
}

// Drop removes scope with all its entries and marks, and its data. Results of its
// running cache fills are not stored.
func (c *Cache) Drop(scope string) error {
	return errors.Join(c.storage.dropData(scope), c.storage.drop(scope)) // the first refuses invalidations of data
}

// Used is the number of bytes that the entries take on disk.
func (c *Cache) Used() int64 { return c.storage.used.Load() }

// Fill starts the cache fill of key, or joins the flight of key. The leader, which
// started the fill, reads the response as it arrives and then calls [Flight.Leave];
// the other requests call [Flight.Wait]. A started fill continues without its
// leader; a queued one is dropped once no request waits for it, unless the entry is
// to be durable. The error is [ErrBusy], [ErrCycle], [ErrStopped] or the cause that
// ended ctx.
func (c *Cache) Fill(ctx context.Context, key Key, how Fill) (f *Flight, leader bool, err error) {
	return c.flights.fill(ctx, key, how)
}

// Refresh starts a cache fill of key in the background, and reports whether it did.
// It does not while key has a flight, during the pause after a failure, and while
// the tenant or the scope uses its whole share of refreshes.
func (c *Cache) Refresh(ctx context.Context, key Key, how Fill) bool {
	return c.flights.startRefresh(ctx, key, how)
}

// Failed reports whether the pause after a failed cache fill of key lasts at now.
func (c *Cache) Failed(key Key, now time.Time) bool { return c.flights.pausing(key, now) }
