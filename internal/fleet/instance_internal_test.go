package fleet

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
)

// used is an instance with a constant usage.
type used struct{ engine.Instance }

func (used) Usage() engine.Usage { return engine.Usage{Memory: 1} }

func TestUsageIsReadAfterTheClockWasSetBack(t *testing.T) {
	inst, now := &instance{process: used{}}, time.Now()
	read := func(at time.Time, want bool) {
		t.Helper()
		if _, got := inst.readUsage(at); got != want {
			t.Errorf("it was read: %t, want %t", got, want)
		}
	}
	read(now, true)
	read(now.Add(sampleEvery/2), false)
	read(now.Add(-2*time.Hour), true)
	read(now.Add(-2*time.Hour+sampleEvery/2), false)
	read(now.Add(-time.Hour), true)
}
