// Package cache keeps responses: in memory over a directory, so that a restart
// finds them, with tags, groups, staleness, and one making of an entry at a time
// however many wait for it. What a response is kept under and for how long is
// its users' to say; prerendered pages are the first of them.
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

// Soft is the grace of an invalidation that lets stale entries be served for as
// long as they are usable.
const Soft time.Duration = -1

// Options says where a cache keeps entries and how much.
type Options struct {
	Dir string // created if need be; nobody else's

	MaxBytes  int64         // on disk; past it the tenant with most loses its least recently used. 0 is 8 GiB
	MaxMemory int64         // of entries in memory, likewise; 0 is 64 MiB
	MaxBody   int64         // of one entry on disk; larger ones are not kept. 0 is 20 MiB
	MaxInline int64         // of one entry in memory; larger ones are read from disk. 0 is 256 KiB
	MaxIdle   time.Duration // an entry that nobody asked for that long goes; 0 is 31 days
	Retry     time.Duration // from a failed refresh to the next; 0 is 30 seconds
	// MaxMaking is how many entries are made at once for requests that wait for
	// them; more queue. MaxRefresh is how many are made at once in the background;
	// more are left as they are. Tenants divide both, and a scope gets a quarter at
	// most. 0 is 256, and 32.
	MaxMaking, MaxRefresh int
	// MaxWaiting is how many requests may wait for entries, and how many entries may
	// be made or queue for it; tenants divide it, and more are refused. 0 is 16384.
	MaxWaiting int

	Now func() time.Time // orders births and invalidations; nil is time.Now

	Log *slog.Logger // nil discards
}

// Cache keeps entries. Use [Open].
type Cache struct {
	o       Options
	memory  *share.Cache[string, slot, *Entry] // by tenant
	flights *flights
	used    atomic.Int64  // bytes on disk, of the entries that are indexed
	trash   chan struct{} // there is something to remove
	clock   *clock

	evicting sync.Mutex // held by the one that makes room on disk

	mu     sync.RWMutex // guards below
	scopes map[string]*scope
}

// slot names an entry in memory: one of a scope that was dropped is never found.
type slot struct {
	scope *scope
	hash  [32]byte
}

// Open opens the cache in o.Dir. What a process that died left unfinished is removed.
func Open(o Options) (*Cache, error) {
	o.setDefaults()
	order, err := openClock(filepath.Join(o.Dir, "clock"), o.Now)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c := &Cache{
		o: o, clock: order, scopes: map[string]*scope{}, flights: newFlights(&o), trash: make(chan struct{}, 1),
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

// Run makes entries and looks after the directory until ctx ends; whoever still
// waits for an entry then gets an error. Until it runs, nothing is made.
func (c *Cache) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { c.tend(ctx) })
	wg.Go(func() { c.flights.run(ctx) })
	wg.Wait()
	if err := c.clock.settle(); err != nil {
		c.o.Log.Warn("the cache's clock stays ahead", "err", err)
	}
	return nil
}

// Now returns the present by the clock that orders births and invalidations. It
// is above every earlier reading, even where the host's clock is set back.
func (c *Cache) Now() time.Time { return time.Unix(0, c.clock.tick()) }

// Get returns the entry of key, to be closed, or nil. An entry that cannot be
// read is none.
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

// Seed offers e, an entry with its body in memory that exists elsewhere, for as
// long as there is none of key; it is not kept on disk.
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

// State decides what may be done with e, an entry of scope, at now.
func (c *Cache) State(scope string, e *Entry, now time.Time) (State, Reason) {
	s := c.scope(scope)
	if s == nil {
		return Expired, ByTag
	}
	return e.state(now, s.marks.fate(e))
}

// Invalidate makes the entries of the scopes that have one of tags stale, and
// expired once grace has passed: at once if that is 0, never if it is [Soft].
// That is durable on return, and holds at once even if it fails.
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

// invalidate marks names of s as invalidated at a reading of the clock. A scope
// that is dropped needs no marks.
func (c *Cache) invalidate(s *scope, names []string, at int64, grace time.Duration) error {
	ahead := c.clock.reserve(at)
	err := s.invalidate(names, at, c.o.Now(), grace)
	if errors.Is(err, errDropped) {
		return nil
	}
	return errors.Join(ahead, err, c.forget(maxMarked))
}

// Invalidated is when something of scope was last invalidated by tag, by
// [Cache.Now]; the zero time is never.
func (c *Cache) Invalidated(scope string) time.Time {
	if s := c.scope(scope); s != nil {
		if at := s.marks.latest.Load(); at != 0 {
			return time.Unix(0, at)
		}
	}
	return time.Time{}
}

// Drop forgets all there is of scope. What is being made for it is not kept.
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

// Used is how many bytes the entries take on disk.
func (c *Cache) Used() int64 { return c.used.Load() }

// scopePattern admits what may name a directory.
var scopePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// scopeOf returns the scope of key, or nil if that cannot be a name.
func (c *Cache) scopeOf(key Key) *scope {
	s := c.scope(key.Scope)
	if s != nil && key.Tenant != "" && s.owner() != key.Tenant {
		owner := key.Tenant
		s.tenant.Store(&owner)
	}
	return s
}

// scope returns the scope called name, or nil if that cannot be a name.
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
		c.o.Log.Error("what was invalidated is unreadable: everything of the deployment is made anew", "deployment_id", name, "err", err)
		at := c.clock.tick()
		marks.setLocked(floor, Mark{Stale: at, Expired: at})
	}
	s := &scope{dir: dir, marks: marks, items: map[[32]byte]*item{}}
	s.tenant.Store(&name)
	return s
}
