package share

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Cache holds values in memory. A tenant may use all of it while others need none.
// When the cache is full, the tenant that uses most loses its least recently used
// values: no tenant loses a value to a tenant that uses more. A hit takes no lock.
// All methods may be called concurrently. Use [NewCache].
type Cache[T, K comparable, V any] struct {
	capacity int64
	values   sync.Map     // *entry[T, K, V] by K
	clock    atomic.Int64 // count of changes, which serves as the time of an access

	mu      sync.Mutex // guards the fields below
	used    int64
	tenants map[T]*tenant[T, K, V]
	loads   map[K]*load[T, V]
}

type entry[T, K comparable, V any] struct {
	key    K
	value  V
	tenant T
	weight int64
	access atomic.Int64 // last access, by Cache.clock
}

type tenant[T, K comparable, V any] struct {
	used   int64
	values map[K]*entry[T, K, V]
}

// load is a value that is being loaded.
type load[T comparable, V any] struct {
	done    chan struct{} // closed at the end of the load
	value   V
	err     error
	deleted []T // tenants whose values were deleted since the begin of the load
}

// NewCache returns a cache for values whose weights sum up to most.
func NewCache[T, K comparable, V any](most int64) *Cache[T, K, V] {
	return &Cache[T, K, V]{capacity: most, tenants: map[T]*tenant[T, K, V]{}, loads: map[K]*load[T, V]{}}
}

// Get returns the cached value of key, if there is one.
func (c *Cache[T, K, V]) Get(key K) (value V, ok bool) {
	found, ok := c.values.Load(key)
	if !ok {
		return value, false
	}
	k, _ := found.(*entry[T, K, V])
	if now := c.clock.Load(); k.access.Load() != now {
		k.access.Store(now)
	}
	return k.value, true
}

// Set caches a tenant's value under key, replacing an older one. The weight of a
// value counts as at most half of the cache, so that a larger value is cached, too,
// and leaves other values in the cache.
func (c *Cache[T, K, V]) Set(of T, key K, value V, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(of, key, value, weight)
}

// SetIfAbsent is Set if the cache has no value of key.
func (c *Cache[T, K, V]) SetIfAbsent(of T, key K, value V, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.values.Load(key); !there {
		c.setLocked(of, key, value, weight)
	}
}

func (c *Cache[T, K, V]) setLocked(of T, key K, value V, weight int64) {
	c.deleteLocked(key)
	k := &entry[T, K, V]{key: key, value: value, tenant: of, weight: min(weight, c.capacity/2)}
	k.access.Store(c.clock.Add(1))
	t := c.tenants[of]
	if t == nil {
		t = &tenant[T, K, V]{values: map[K]*entry[T, K, V]{}}
		c.tenants[of] = t
	}
	t.values[key] = k
	t.used += k.weight
	c.used += k.weight
	c.values.Store(key, k)
	if c.used > c.capacity {
		c.evictLocked(k)
	}
}

// evictLocked evicts values until the cache is below its bound by a 64th, so that
// the search for the tenant that uses most is rare. It does not evict fresh.
func (c *Cache[T, K, V]) evictLocked(fresh *entry[T, K, V]) {
	for goal := c.capacity - c.capacity/64; c.used > goal; {
		var greatest *tenant[T, K, V]
		for of, t := range c.tenants {
			if (of != fresh.tenant || len(t.values) > 1) && (greatest == nil || t.used > greatest.used) {
				greatest = t
			}
		}
		if greatest == nil {
			return
		}
		for until := greatest.used - max(1, c.capacity/64); c.used > goal && greatest.used > until; {
			k := greatest.oldest(fresh)
			if k == nil {
				break
			}
			c.deleteLocked(k.key)
		}
	}
}

// samples is the number of values of which the least recently used one is evicted.
const samples = 16

// oldest returns the least recently used of some values. The order of map iteration
// makes the sample random.
func (t *tenant[T, K, V]) oldest(except *entry[T, K, V]) (oldest *entry[T, K, V]) {
	seen := 0
	for _, k := range t.values {
		if k != except && (oldest == nil || k.access.Load() < oldest.access.Load()) {
			oldest = k
		}
		if seen++; seen == samples && oldest != nil {
			break
		}
	}
	return oldest
}

// Delete removes the value of key. A value that is being loaded will not be cached.
func (c *Cache[T, K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loads, key)
	c.deleteLocked(key)
}

// DeleteTenant removes all values of a tenant. A value of the tenant that is being
// loaded will not be cached, and later callers of [Cache.Load] do not get it.
func (c *Cache[T, K, V]) DeleteTenant(of T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.loads {
		if !slices.Contains(l.deleted, of) {
			l.deleted = append(l.deleted, of)
		}
	}
	if t := c.tenants[of]; t != nil {
		for key := range t.values {
			c.deleteLocked(key)
		}
	}
}

func (c *Cache[T, K, V]) deleteLocked(key K) {
	found, ok := c.values.LoadAndDelete(key)
	if !ok {
		return
	}
	k, _ := found.(*entry[T, K, V])
	t := c.tenants[k.tenant]
	delete(t.values, key)
	t.used -= k.weight
	c.used -= k.weight
	if len(t.values) == 0 {
		delete(c.tenants, k.tenant)
	}
}

// Used returns the weight of all values.
func (c *Cache[T, K, V]) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Load returns the value of key. If it is not cached, fetch loads it, once for all
// concurrent callers, and returns its tenant and weight, too. If fetch fails because
// the context of its caller has ended, another caller calls it again.
func (c *Cache[T, K, V]) Load(ctx context.Context, key K, fetch func(context.Context) (of T, value V, weight int64, err error)) (value V, err error) {
	for {
		if value, ok := c.Get(key); ok {
			return value, nil
		}
		l, first := c.begin(key)
		if first {
			return c.fetch(ctx, key, l, fetch)
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return value, context.Cause(ctx)
		}
		if !errors.Is(l.err, errAgain) {
			return l.value, l.err
		}
	}
}

// errAgain means that other callers load the value again: the context of the caller that
// loaded it has ended, or the values of its tenant were deleted meanwhile.
var errAgain = errors.New("load canceled")

// begin joins the load of key, or begins one.
func (c *Cache[T, K, V]) begin(key K) (l *load[T, V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loads[key]; l != nil {
		return l, false
	}
	l = &load[T, V]{done: make(chan struct{}), err: errAgain}
	c.loads[key] = l
	return l, true
}

func (c *Cache[T, K, V]) fetch(ctx context.Context, key K, l *load[T, V], fetch func(context.Context) (T, V, int64, error)) (V, error) {
	var of T
	var value V
	var weight int64
	err := errAgain // stays if fetch panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		outdated := err == nil && slices.Contains(l.deleted, of)
		if c.loads[key] == l {
			delete(c.loads, key)
			if err == nil && !outdated {
				c.setLocked(of, key, value, weight)
			}
		}
		l.value, l.err = value, err
		if outdated || err != nil && ctx.Err() != nil {
			l.err = errAgain
		}
		close(l.done)
	}()
	of, value, weight, err = fetch(ctx)
	return value, err
}
