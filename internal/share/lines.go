package share

import (
	"sync"
	"time"
)

// Lines bounds how many lines each tenant has in a log of all. Its method may be
// called concurrently.
type Lines[K comparable] struct {
	Most   int           // lines of one tenant in a window
	Window time.Duration // how long that is

	mu      sync.Mutex // guards below
	until   time.Time  // the end of the window
	written map[K]int
	left    int // lines of the last windows that were not written
}

// Admit reports whether a line of a tenant is written at now, and how many were
// not since the last that was.
func (l *Lines[K]) Admit(tenant K, now time.Time) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written == nil || !now.Before(l.until) {
		l.until, l.written = now.Add(l.Window), map[K]int{}
	}
	if l.written[tenant]++; l.written[tenant] > l.Most {
		l.left++
		return 0, false
	}
	left, l.left = l.left, 0
	return left, true
}
