package local

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestARushEndsAWhileAfterItsLastStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rush
		quiet := func(want time.Duration) {
			t.Helper()
			if got := r.quiet(time.Now()); got != want {
				t.Errorf("it is quiet in %v, want %v", got, want)
			}
		}
		quiet(0)
		first, second := r.enter(), r.enter()
		quiet(askBusy)
		first()
		quiet(askBusy)
		time.Sleep(time.Hour)
		quiet(askBusy)
		second()
		quiet(quietAfter)
		time.Sleep(quietAfter / 4)
		quiet(quietAfter * 3 / 4)
		time.Sleep(quietAfter)
		quiet(0)
	})
}
