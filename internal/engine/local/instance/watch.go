package instance

import (
	"context"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	watchEvery     = 100 * time.Millisecond
	watchIdleEvery = 20 // ticks

	defaultDuration = 5 * time.Minute // duration limit of a request whose function sets none
	longestDuration = time.Hour
	overdueAfter    = 10 * time.Second // time past the duration limit after which a request no longer counts
)

// Watch enforces the memory and duration limits of instances until ctx ends.
func (g *Group) Watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for tick := 0; ; tick++ {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, i := range g.List() {
				if i.Busy() > 0 || tick%watchIdleEvery == 0 { // an idle instance changes little
					i.check(now)
				}
			}
		}
	}
}

// check enforces the limits of one instance. It measures the memory only if the
// kernel does not bound it: V8 fixes its heap limit at boot, before the process has
// a function.
func (i *Instance) check(now time.Time) {
	var memory int64
	if !i.group.Host.Sandbox.MemoryBound() {
		memory = i.Usage().Memory
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if memory > i.o.Memory {
		i.killLocked(i.memoryExceeded())
		return
	}
	if running := i.calls.endDue(now); running > 0 {
		i.LogPlatform(lateen.LevelWarning, fmt.Sprintf("%d requests are still open %v after their duration limit: the platform no longer counts them", running, overdueAfter))
	}
	i.endIfIdleLocked()
}

// duration returns the duration limit of a request.
func (o *Options) duration() time.Duration {
	switch seconds := o.Spec.Function.MaxDuration; {
	case seconds > 0:
		return min(time.Duration(seconds)*time.Second, longestDuration)
	case seconds < 0:
		return longestDuration
	default:
		return defaultDuration
	}
}
