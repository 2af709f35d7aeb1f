package template

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/pool"
)

func TestTemplatesGetMemoryBeforeStandbys(t *testing.T) {
	two := []memoryUse{{10, 3}, {10, 3}}
	for _, c := range []struct {
		limit               int64
		templates, standbys int
	}{{9, 0, 0}, {10, 1, 0}, {19, 1, 0}, {20, 2, 0}, {22, 2, 0}, {23, 2, 1}, {25, 2, 1}, {26, 2, 2}, {100, 2, 2}} {
		templates, standbys := fit(c.limit, two)
		if templates != c.templates || standbys != c.standbys {
			t.Errorf("%d bytes fit %d templates and %d standbys, want %d and %d", c.limit, templates, standbys, c.templates, c.standbys)
		}
	}
	if templates, standbys := fit(0, nil); templates != 0 || standbys != 0 {
		t.Errorf("without templates: %d and %d", templates, standbys)
	}
}

func TestAStandbyWaitsForTheEndOfABurstWithALimit(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		gap   standbyGap
		quiet time.Duration
		want  time.Duration
	}{
		"quiet":             {standbyGap{since: now}, 0, 0},
		"quiet for a while": {standbyGap{since: now}, -time.Second, -time.Second},
		"soon":              {standbyGap{since: now}, 40 * time.Millisecond, 40 * time.Millisecond},
		"never quiet":       {standbyGap{since: now.Add(-pool.MaxBurstWait)}, 40 * time.Millisecond, 0},
		"after a failure":   {standbyGap{since: now.Add(-time.Hour), retry: now.Add(time.Second)}, 0, time.Second},
		"the longest wait is over before it is quiet": {standbyGap{since: now.Add(-pool.MaxBurstWait / 2)}, time.Hour, pool.MaxBurstWait / 2},
	} {
		if got := c.gap.wait(now, c.quiet); got != c.want {
			t.Errorf("%s: wait %v, want %v", name, got, c.want)
		}
	}
}
