// Package fairqueue is a bounded round-robin work queue: one item per tenant per
// round, so a tenant that enqueues much delays only itself.
package fairqueue

import (
	"context"
	"slices"
	"sync"
)

// Queue is a queue of items: first come, first served within a tenant, and one item
// per tenant in each round. All methods may be called concurrently.
type Queue[K comparable, T any] struct {
	capacity int
	ready    chan struct{} // holds a token while there may be an item for another Next

	mu      sync.Mutex // guards the fields below
	waiting map[K][]T  // items of the tenants that have some
	turns   []K        // order of these tenants, the next one first
	n       int
}

// New returns an empty queue with a capacity of most items.
func New[K comparable, T any](most int) *Queue[K, T] {
	return &Queue[K, T]{capacity: most, ready: make(chan struct{}, 1), waiting: map[K][]T{}}
}

// Put adds an item of a tenant. If the queue is full, it drops the newest item of
// the tenant with the longest queue, which may be the added one; full is true then,
// and out is the dropped item.
func (l *Queue[K, T]) Put(tenant K, piece T) (out T, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[tenant]) == 0 {
		l.turns = append(l.turns, tenant)
	}
	l.waiting[tenant] = append(l.waiting[tenant], piece)
	l.n++
	l.signal()
	if l.n <= l.capacity {
		return out, false
	}
	greedy := tenant
	for _, other := range l.turns {
		if len(l.waiting[other]) > len(l.waiting[greedy]) {
			greedy = other
		}
	}
	last := len(l.waiting[greedy]) - 1
	out = l.waiting[greedy][last]
	l.setItemsLocked(greedy, l.waiting[greedy][:last])
	return out, true
}

// Next removes and returns the next item, waiting for one if necessary. The error is
// the cause of ctx.
func (l *Queue[K, T]) Next(ctx context.Context) (piece T, err error) {
	for {
		select {
		case <-ctx.Done():
			return piece, context.Cause(ctx)
		case <-l.ready:
		}
		if piece, ok := l.take(); ok {
			return piece, nil
		}
	}
}

func (l *Queue[K, T]) take() (piece T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return piece, false
	}
	tenant := l.turns[0]
	piece = l.waiting[tenant][0]
	l.turns = append(l.turns[1:], tenant)
	l.setItemsLocked(tenant, l.waiting[tenant][1:])
	if l.n > 0 {
		l.signal()
	}
	return piece, true
}

// setItemsLocked replaces the items of a tenant after one was removed.
func (l *Queue[K, T]) setItemsLocked(tenant K, rest []T) {
	l.n--
	if len(rest) > 0 {
		l.waiting[tenant] = rest
		return
	}
	delete(l.waiting, tenant)
	l.turns = slices.DeleteFunc(l.turns, func(other K) bool { return other == tenant })
}

func (l *Queue[K, T]) signal() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}
