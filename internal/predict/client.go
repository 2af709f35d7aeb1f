package predict

import (
	"sync"
	"time"
)

const (
	stripes   = 64
	perShare  = 64               // clients of a stripe
	maxUnused = 8                // predictions without a call that a client may cause
	unusedTTL = 30 * time.Second // time after which one such prediction is forgiven
)

// clientKey is a hash of a client's identity.
type clientKey uint64

// clients holds the recent actions of clients. Each client has one slot, in which
// the next client of the same slot replaces it.
type clients [stripes]struct {
	mu     sync.Mutex // guards the fields below
	views  [perShare]view
	unused [perShare]unusedPredictions
}

// view is the last page that a client was sent.
type view struct {
	client clientKey
	cause  *cause // guarded by its project's mutex; nil: the slot is empty
	path   uint64 // hash
	at     time.Time
	called [maxEffects]uint32 // hashes of the functions that were called since; unused elements are 0
}

// first records that a function, by its hash, was called since the page was sent,
// and reports whether it was the first call. It returns false beyond maxEffects
// functions.
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

// unusedPredictions is the number of predictions for a client since its last call.
type unusedPredictions struct {
	client clientKey
	count  int
	at     time.Time // time of the last decrement
}

// recordPage records the page that a client was sent.
func (c *clients) recordPage(key clientKey, v view) {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	v.client = key
	s.views[key/stripes%perShare] = v
}

// lastPage returns the cause of the last page that a client was sent, if is accepts the
// page; else nil.
func (c *clients) lastPage(key clientKey, is func(v *view) bool) *cause {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.views[key/stripes%perShare]
	if v.client != key || v.cause == nil || !is(v) {
		return nil
	}
	return v.cause
}

// allow reports whether a prediction for a client is allowed, and counts it.
func (c *clients) allow(key clientKey, now time.Time) bool {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.unused[key/stripes%perShare]
	if d.client != key {
		*d = unusedPredictions{client: key, at: now}
	}
	if expired := int(now.Sub(d.at) / unusedTTL); expired > 0 {
		d.count, d.at = max(0, d.count-expired), now
	}
	if d.count >= maxUnused {
		return false
	}
	d.count++
	return true
}

// resetUnused records that a client has called a function.
func (c *clients) resetUnused(key clientKey) {
	s := &c[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := &s.unused[key/stripes%perShare]; d.client == key {
		d.count = 0
	}
}
