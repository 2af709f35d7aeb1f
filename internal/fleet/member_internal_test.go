package fleet

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
)

// used is an instance that uses something.
type used struct{ engine.Instance }

func (used) Usage() engine.Usage { return engine.Usage{Memory: 1} }

func TestWhatAnInstanceUsesIsReadWhereTheClockIsSetBack(t *testing.T) {
	m, now := &member{instance: used{}}, time.Now()
	read := func(at time.Time, want bool) {
		t.Helper()
		if _, got := m.readUsage(at); got != want {
			t.Errorf("it was read: %t, want %t", got, want)
		}
	}
	read(now, true)
	read(now.Add(lookEvery/2), false)
	read(now.Add(-2*time.Hour), true)
	read(now.Add(-2*time.Hour+lookEvery/2), false)
	read(now.Add(-time.Hour), true)
}
