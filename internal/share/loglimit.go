package share

import (
	"sync"
	"time"
)

// LogLimit bounds the number of lines of each tenant in a shared log. Its method may be
// called concurrently.
type LogLimit[K comparable] struct {
	Most   int           // lines of one tenant in a window
	Window time.Duration // length of a window

	mu      sync.Mutex // guards the fields below
	until   time.Time  // end of the window
	written map[K]int
	dropped int // dropped lines since the last written one
}

// Admit reports whether a tenant's line at the time now is to be written, and the
// number of dropped lines of all tenants since the last written one.
func (l *LogLimit[K]) Admit(tenant K, now time.Time) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written == nil || !now.Before(l.until) {
		l.until, l.written = now.Add(l.Window), map[K]int{}
	}
	if l.written[tenant]++; l.written[tenant] > l.Most {
		l.dropped++
		return 0, false
	}
	left, l.dropped = l.dropped, 0
	return left, true
}
