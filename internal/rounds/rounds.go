// Package rounds has those be served in turn who bring work that is done one
// piece at a time: whoever brings much of it waits for itself.
package rounds

import (
	"context"
	"slices"
	"sync"
)

// Line is what waits, of each tenant first come, first served, and of all
// tenants one piece each in a round. All methods may be called concurrently.
type Line[K comparable, T any] struct {
	most int
	some chan struct{} // holds a token while there may be something for another Next

	mu      sync.Mutex // guards below
	waiting map[K][]T  // of those that have something
	turns   []K        // of them, the next first
	n       int
}

// New returns an empty line with room for so many pieces.
func New[K comparable, T any](most int) *Line[K, T] {
	return &Line[K, T]{most: most, some: make(chan struct{}, 1), waiting: map[K][]T{}}
}

// Put adds a piece of a tenant's. Where that is one too many, the last of the
// tenant that has most is left out, which may be the one that is put: full says
// so, and out is it.
func (l *Line[K, T]) Put(tenant K, piece T) (out T, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[tenant]) == 0 {
		l.turns = append(l.turns, tenant)
	}
	l.waiting[tenant] = append(l.waiting[tenant], piece)
	l.n++
	l.tell()
	if l.n <= l.most {
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
	l.keepLocked(greedy, l.waiting[greedy][:last])
	return out, true
}

// Next takes the piece whose turn it is, once there is one, or returns why ctx
// ended.
func (l *Line[K, T]) Next(ctx context.Context) (piece T, err error) {
	for {
		select {
		case <-ctx.Done():
			return piece, context.Cause(ctx)
		case <-l.some:
		}
		if piece, ok := l.take(); ok {
			return piece, nil
		}
	}
}

func (l *Line[K, T]) take() (piece T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return piece, false
	}
	tenant := l.turns[0]
	piece = l.waiting[tenant][0]
	l.turns = append(l.turns[1:], tenant)
	l.keepLocked(tenant, l.waiting[tenant][1:])
	if l.n > 0 {
		l.tell()
	}
	return piece, true
}

// keepLocked leaves a tenant one piece less.
func (l *Line[K, T]) keepLocked(tenant K, rest []T) {
	l.n--
	if len(rest) > 0 {
		l.waiting[tenant] = rest
		return
	}
	delete(l.waiting, tenant)
	l.turns = slices.DeleteFunc(l.turns, func(other K) bool { return other == tenant })
}

func (l *Line[K, T]) tell() {
	select {
	case l.some <- struct{}{}:
	default:
	}
}
