package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	watchEvery     = 100 * time.Millisecond
	watchIdleEvery = 20 // ticks

	defaultDuration = 5 * time.Minute // of a request whose function names none
	longestDuration = time.Hour
	overdueAfter    = 10 * time.Second // past its duration a request no longer counts
)

// watch looks after instances until ctx ends: memory above the limit, requests
// that never end.
func (e *Engine) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for tick := 0; ; tick++ {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.mu.Lock()
			instances := slices.Collect(maps.Keys(e.instances))
			e.mu.Unlock()
			for _, i := range instances {
				if i.Busy() > 0 || tick%watchIdleEvery == 0 { // an idle one changes little
					i.check(now)
				}
			}
		}
	}
}

// check holds the instance to its limits. Memory is watched from outside where
// the kernel does not bound it: the heap limit of V8 is fixed when a process
// boots, before it has a function.
func (i *instance) check(now time.Time) {
	var memory int64
	if !i.engine.sandbox.MemoryBound() {
		memory = i.Usage().Memory
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if memory > i.memory {
		i.killLocked(i.memoryExceeded())
		return
	}
	if running := i.calls.endDue(now); running > 0 {
		i.say(lateen.LevelWarning, fmt.Sprintf("%d requests were still at work %v after their time: they are no longer waited for", running, overdueAfter))
	}
	i.restLocked()
}

// duration is how long a request may take.
func (i *instance) duration() time.Duration {
	switch seconds := i.spec.Function.MaxDuration; {
	case seconds > 0:
		return min(time.Duration(seconds)*time.Second, longestDuration)
	case seconds < 0:
		return longestDuration
	default:
		return defaultDuration
	}
}
