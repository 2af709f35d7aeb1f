package foresight

import (
	"sync"
	"time"
)

const (
	stripes  = 64
	perShare = 64               // clients of a stripe
	trusted  = 8                // names in vain that a client is good for
	forgiven = 30 * time.Second // for each of them
)

// clientKey is a hash of who a client is.
type clientKey uint64

// clients remembers what clients did a moment ago. Each has one place, in which
// the next client of the same place replaces it.
type clients [stripes]struct {
	mu    sync.Mutex // guards below
	views [perShare]view
	debts [perShare]debt
}

// view is the page that a client was sent last.
type view struct {
	client clientKey
	cause  *cause // guarded by its project's mutex; nil: nobody is here
	path   uint64 // hash
	at     time.Time
	called [maxEffects]uint32 // hashes of functions that were called since, the rest 0
}

// first notes that a function, by its hash, was called since the page was sent,
// and reports whether it was the first time. It is false beyond maxEffects functions.
func (v *view) first(function uint64) bool {
	mark := uint32(function) | 1
	for i, called := range v.called {
		if called == mark {
			return false
		}
		if called == 0 {
			v.called[i] = mark
			return true
		}
	}
	return false
}

// debt is how often something was named to a client that has called nothing since.
type debt struct {
	client clientKey
	owed   int
	at     time.Time // it was owed that much
}

// see notes what page a client was sent.
func (c *clients) see(key clientKey, v view) {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	v.client = key
	s.views[key/stripes%perShare] = v
}

// after returns the page that a client was sent last, if is says that it is
// meant; nil otherwise.
func (c *clients) after(key clientKey, is func(v *view) bool) *cause {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.views[key/stripes%perShare]
	if v.client != key || v.cause == nil || !is(v) {
		return nil
	}
	return v.cause
}

// trust reports whether something may be named to a client, and notes that it was.
func (c *clients) trust(key clientKey, now time.Time) bool {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.debts[key/stripes%perShare]
	if d.client != key {
		*d = debt{client: key, at: now}
	}
	if gone := int(now.Sub(d.at) / forgiven); gone > 0 {
		d.owed, d.at = max(0, d.owed-gone), now
	}
	if d.owed >= trusted {
		return false
	}
	d.owed++
	return true
}

// settle notes that a client has called a function.
func (c *clients) settle(key clientKey) {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := &s.debts[key/stripes%perShare]; d.client == key {
		d.owed = 0
	}
}
