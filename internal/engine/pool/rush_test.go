package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestARushEndsAWhileAfterItsLastStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rush
		quiet := func(want time.Duration) {
			t.Helper()
			if got := r.Quiet(time.Now()); got != want {
				t.Errorf("it is quiet in %v, want %v", got, want)
			}
		}
		quiet(0)
		first, second := r.Enter(), r.Enter()
		quiet(askBusy)
		first()
		quiet(askBusy)
		time.Sleep(time.Hour)
		quiet(askBusy)
		second()
		quiet(QuietAfter)
		time.Sleep(QuietAfter / 4)
		quiet(QuietAfter * 3 / 4)
		time.Sleep(QuietAfter)
		quiet(0)
	})
}
