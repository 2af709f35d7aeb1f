// Package cache stores responses in memory and in a directory, so that they survive
// a restart. Entries have tags, groups and staleness, and concurrent requests for
// one entry share a single cache fill. The packages that use it choose the keys and
// the lifetimes; the first of them stores prerendered pages.
package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/share"
)

// Soft is the grace of an invalidation after which stale entries may be served until
// they are no longer usable.
const Soft time.Duration = -1

// Options configures the directory and the bounds of a cache.
type Options struct {
	Dir string // created if missing; for this cache alone

	MaxBytes  int64         // total on disk; past it, the tenant with most loses its least recently used entries. 0 is 8 GiB
	MaxMemory int64         // total of the entries in memory, bounded in the same way; 0 is 64 MiB
	MaxBody   int64         // one entry on disk; larger ones are not stored. 0 is 20 MiB
	MaxInline int64         // one entry in memory; larger ones are read from disk. 0 is 256 KiB
	MaxIdle   time.Duration // time since the last request after which an entry is removed; 0 is 31 days
	Retry     time.Duration // time from a failed refresh to the next attempt; 0 is 30 seconds
	// MaxMaking is the number of concurrent cache fills for waiting requests;
	// further fills queue. MaxRefresh is the number of concurrent background
	// refreshes; further entries stay as they are. Tenants divide both numbers, and
	// a scope gets a quarter at most. 0 is 256 and 32.
	MaxMaking, MaxRefresh int
	// MaxWaiting is the number of requests that may wait for entries, and the number
	// of cache fills that may run or queue. Tenants divide it; further requests and
	// fills are refused. 0 is 16384.
	MaxWaiting int

	Now func() time.Time // orders cache fills and invalidations; nil is time.Now

	Log *slog.Logger // nil discards
}

// Cache stores entries. Use [Open].
type Cache struct {
	o       Options
	memory  *share.Cache[string, slot, *Entry] // by tenant
	flights *flights
	used    atomic.Int64  // bytes of the indexed entries on disk
	dropped chan struct{} // signals that dropped directories wait for removal
	clock   *clock

	evicting sync.Mutex // held by the goroutine that evicts entries from disk

	mu     sync.RWMutex // guards below
	scopes map[string]*scope
}

// slot is the key of an entry in memory. It holds the scope itself, so the entries
// of a dropped scope are never found.
type slot struct {
	scope *scope
	hash  [32]byte
}

// Open opens the cache in o.Dir. It removes the unfinished files of a process that
// crashed.
func Open(o Options) (*Cache, error) {
	o.setDefaults()
	order, err := openClock(filepath.Join(o.Dir, "clock"), o.Now)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c := &Cache{
		o: o, clock: order, scopes: map[string]*scope{}, flights: newFlights(&o), dropped: make(chan struct{}, 1),
		memory: share.NewCache[string, slot, *Entry](o.MaxMemory),
	}
	if err := os.RemoveAll(c.tmp()); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	for _, dir := range []string{c.tmp(), c.entries()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open cache: %w", err)
		}
	}
	return c, nil
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 8<<30)
	o.MaxMemory = cmp.Or(o.MaxMemory, 64<<20)
	o.MaxBody = cmp.Or(o.MaxBody, 20<<20)
	o.MaxInline = cmp.Or(o.MaxInline, 256<<10)
	o.MaxIdle = cmp.Or(o.MaxIdle, 31*24*time.Hour)
	o.Retry = cmp.Or(o.Retry, 30*time.Second)
	o.MaxMaking = cmp.Or(o.MaxMaking, 256)
	o.MaxRefresh = cmp.Or(o.MaxRefresh, 32)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 16384)
}

func (c *Cache) entries() string { return filepath.Join(c.o.Dir, "entries") }
func (c *Cache) tmp() string     { return filepath.Join(c.o.Dir, "tmp") }

// Run executes cache fills and maintains the directory until ctx ends; the waiting
// requests then get an error. No fill starts before Run.
func (c *Cache) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { c.maintain(ctx) })
	wg.Go(func() { c.flights.run(ctx) })
	wg.Wait()
	if err := c.clock.lowerBound(); err != nil {
		c.o.Log.Warn("cache clock bound not lowered", "err", err)
	}
	return nil
}

// Now reads the clock that orders cache fills and invalidations. Each reading is
// above all earlier ones, even where the host's clock is set back.
func (c *Cache) Now() time.Time { return time.Unix(0, c.clock.tick()) }

// Get returns the entry of key, to be closed, or nil. It returns nil for an
// unreadable entry.
func (c *Cache) Get(key Key) *Entry {
	s := c.scopeOf(key)
	if s == nil {
		return nil
	}
	if e, ok := c.memory.Get(slot{s, key.Hash}); ok {
		e.item.touch(time.Now())
		return e
	}
	return c.load(s, key)
}

// Seed puts e, whose body is in memory and which is stored elsewhere, into memory
// unless key has an entry. Seed writes no file.
func (c *Cache) Seed(key Key, e *Entry) {
	s := c.scopeOf(key)
	if s == nil || e.file != nil || e.Size > c.o.MaxInline {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[key.Hash] == nil && !s.dropped {
		c.memory.SetIfAbsent(s.owner(), slot{s, key.Hash}, e, e.weight())
	}
}

// State returns the state of e, an entry of scope, at now.
func (c *Cache) State(scope string, e *Entry, now time.Time) (State, Reason) {
	s := c.scope(scope)
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
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = tagName(tag)
	}
	for _, name := range scopes {
		if s := c.scope(name); s != nil && len(names) > 0 {
			if err := c.invalidate(s, names, c.clock.tick(), grace); err != nil {
				return err
			}
		}
	}
	return nil
}

// invalidate marks names of s as invalidated at a reading of the clock. A dropped
// scope needs no marks.
func (c *Cache) invalidate(s *scope, names []string, at int64, grace time.Duration) error {
	ahead := c.clock.reserve(at)
	err := s.invalidate(names, at, c.o.Now(), grace)
	if errors.Is(err, errDropped) {
		return nil
	}
	return errors.Join(ahead, err, c.removeNames(maxMarked))
}

// Invalidated is the time of the last invalidation of scope by tag, by [Cache.Now];
// the zero time is never.
func (c *Cache) Invalidated(scope string) time.Time {
	if s := c.scope(scope); s != nil {
		if at := s.marks.latest.Load(); at != 0 {
			return time.Unix(0, at)
		}
	}
	return time.Time{}
}

// Drop removes scope with all its entries and marks. Results of its running cache
// fills are not stored.
func (c *Cache) Drop(scope string) error {
	c.mu.Lock()
	s := c.scopes[scope]
	delete(c.scopes, scope)
	c.mu.Unlock()
	if s == nil {
		if s = c.newScope(scope); s == nil {
			return nil
		}
	}
	return c.discard(s)
}

// Used is the number of bytes that the entries take on disk.
func (c *Cache) Used() int64 { return c.used.Load() }

// scopePattern admits safe directory names.
var scopePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// scopeOf returns the scope of key, or nil if its name is invalid.
func (c *Cache) scopeOf(key Key) *scope {
	s := c.scope(key.Scope)
	if s != nil && key.Tenant != "" && s.owner() != key.Tenant {
		owner := key.Tenant
		s.tenant.Store(&owner)
	}
	return s
}

// scope returns the scope called name, or nil if the name is invalid.
func (c *Cache) scope(name string) *scope {
	c.mu.RLock()
	s := c.scopes[name]
	c.mu.RUnlock()
	if s != nil {
		return s
	}
	fresh := c.newScope(name)
	if fresh == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.scopes[name]; s != nil {
		return s
	}
	c.scopes[name] = fresh
	return fresh
}

func (c *Cache) newScope(name string) *scope {
	if !scopePattern.MatchString(name) {
		return nil
	}
	dir := filepath.Join(c.entries(), name)
	marks, err := openMarks(filepath.Join(dir, "invalidated"))
	if err != nil {
		c.o.Log.Error("invalidations unreadable: all cached pages of the deployment expire", "deployment_id", name, "err", err)
		at := c.clock.tick()
		marks.setLocked(anyName, Mark{Stale: at, Expired: at})
	}
	s := &scope{dir: dir, marks: marks, items: map[[32]byte]*item{}}
	s.tenant.Store(&name)
	return s
}
