package share

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Cache keeps values in memory. A tenant may use all of it while others need
// none. Where there is no more room, the tenant that uses most loses what it
// used least recently: no tenant loses a value to another that uses more.
// A value that is found costs no lock. All methods may be called concurrently.
// Use [NewCache].
type Cache[T, K comparable, V any] struct {
	most   int64
	values sync.Map     // *kept[T, K, V] by K
	clock  atomic.Int64 // of changes: when a value was used

	mu      sync.Mutex // guards below
	used    int64
	tenants map[T]*tenant[T, K, V]
	loads   map[K]*load[V]
}

type kept[T, K comparable, V any] struct {
	key    K
	value  V
	tenant T
	weight int64
	access atomic.Int64 // by the clock
}

type tenant[T, K comparable, V any] struct {
	used   int64
	values map[K]*kept[T, K, V]
}

// load is a value that is being loaded.
type load[V any] struct {
	done  chan struct{} // closed at its end
	value V
	err   error
}

// NewCache returns a cache of values that weigh so much together.
func NewCache[T, K comparable, V any](most int64) *Cache[T, K, V] {
	return &Cache[T, K, V]{most: most, tenants: map[T]*tenant[T, K, V]{}, loads: map[K]*load[V]{}}
}

// Get returns the value of key, if it is kept.
func (c *Cache[T, K, V]) Get(key K) (value V, ok bool) {
	found, ok := c.values.Load(key)
	if !ok {
		return value, false
	}
	k, _ := found.(*kept[T, K, V])
	if now := c.clock.Load(); k.access.Load() != now {
		k.access.Store(now)
	}
	return k.value, true
}

// Set keeps a tenant's value under key, in place of another. One that weighs
// more than half of the cache counts as half: it is kept, and others are too.
func (c *Cache[T, K, V]) Set(of T, key K, value V, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(of, key, value, weight)
}

// SetIfAbsent is Set where there is no value of key.
func (c *Cache[T, K, V]) SetIfAbsent(of T, key K, value V, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.values.Load(key); !there {
		c.setLocked(of, key, value, weight)
	}
}

func (c *Cache[T, K, V]) setLocked(of T, key K, value V, weight int64) {
	c.deleteLocked(key)
	k := &kept[T, K, V]{key: key, value: value, tenant: of, weight: min(weight, c.most/2)}
	k.access.Store(c.clock.Add(1))
	t := c.tenants[of]
	if t == nil {
		t = &tenant[T, K, V]{values: map[K]*kept[T, K, V]{}}
		c.tenants[of] = t
	}
	t.values[key] = k
	t.used += k.weight
	c.used += k.weight
	c.values.Store(key, k)
	if c.used > c.most {
		c.evictLocked(k)
	}
}

// evictLocked makes room, for a while so that it does not look for the tenant
// that uses most each time. fresh stays.
func (c *Cache[T, K, V]) evictLocked(fresh *kept[T, K, V]) {
	for goal := c.most - c.most/64; c.used > goal; {
		var greatest *tenant[T, K, V]
		for of, t := range c.tenants {
			if (of != fresh.tenant || len(t.values) > 1) && (greatest == nil || t.used > greatest.used) {
				greatest = t
			}
		}
		if greatest == nil {
			return
		}
		for until := greatest.used - max(1, c.most/64); c.used > goal && greatest.used > until; {
			k := greatest.oldest(fresh)
			if k == nil {
				break
			}
			c.deleteLocked(k.key)
		}
	}
}

// samples is of how many values the least recently used one is evicted.
const samples = 16

// oldest returns the least recently used of some values; the order of maps is
// the chance in it.
func (t *tenant[T, K, V]) oldest(except *kept[T, K, V]) (oldest *kept[T, K, V]) {
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

// Delete forgets the value of key; one that is being loaded is not kept.
func (c *Cache[T, K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loads, key)
	c.deleteLocked(key)
}

func (c *Cache[T, K, V]) deleteLocked(key K) {
	found, ok := c.values.LoadAndDelete(key)
	if !ok {
		return
	}
	k, _ := found.(*kept[T, K, V])
	t := c.tenants[k.tenant]
	delete(t.values, key)
	t.used -= k.weight
	c.used -= k.weight
	if len(t.values) == 0 {
		delete(c.tenants, k.tenant)
	}
}

// Used is the weight of all values.
func (c *Cache[T, K, V]) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Load returns the value of key; where it is not kept, fetch finds it, once for
// all that ask at the same time, and says whose it is and what it weighs. Where
// fetch fails because the context of the first caller has ended, it is called
// for the next.
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
		if !errors.Is(l.err, errGone) {
			return l.value, l.err
		}
	}
}

// errGone is that who loaded a value did not wait for it.
var errGone = errors.New("the load was given up")

// begin joins the load of key, or begins one.
func (c *Cache[T, K, V]) begin(key K) (l *load[V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loads[key]; l != nil {
		return l, false
	}
	l = &load[V]{done: make(chan struct{}), err: errGone}
	c.loads[key] = l
	return l, true
}

func (c *Cache[T, K, V]) fetch(ctx context.Context, key K, l *load[V], fetch func(context.Context) (T, V, int64, error)) (V, error) {
	var of T
	var value V
	var weight int64
	err := errGone // of a panic
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.loads[key] == l {
			delete(c.loads, key)
			if err == nil {
				c.setLocked(of, key, value, weight)
			}
		}
		l.value, l.err = value, err
		if err != nil && ctx.Err() != nil {
			l.err = errGone
		}
		close(l.done)
	}()
	of, value, weight, err = fetch(ctx)
	return value, err
}
