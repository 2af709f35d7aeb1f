package autoscale_test

import (
	"math"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// A function that computes for its whole duration needs a CPU, one that waits needs
// a part of one, and one whose requests end without a response needs the CPUs that
// they used.
func TestTheNeedForCPUsIsLearned(t *testing.T) {
	answered := func(took, cpu time.Duration) *autoscale.Learned {
		var l autoscale.Learned
		for range 20 {
			l.Answer(autoscale.Answered{At: time.Now(), Took: took, Company: 1}, 10, false)
			l.Serve(took, cpu)
		}
		return &l
	}
	var unanswered autoscale.Learned
	unanswered.Fail(30*time.Second, time.Minute)
	for _, c := range []struct {
		learned *autoscale.Learned
		want    float64
	}{
		{&autoscale.Learned{}, 0},
		{answered(100*time.Millisecond, 100*time.Millisecond), 1},
		{answered(100*time.Millisecond, 25*time.Millisecond), 0.25},
		{&unanswered, 0.5},
	} {
		if got := c.learned.Need(); math.Abs(got-c.want) > 0.001 {
			t.Errorf("the need is %g, want %g", got, c.want)
		}
	}
}

// A request that was cut off before its CPU time could be measured teaches nothing.
func TestAFailureTooShortToMeasureIsIgnored(t *testing.T) {
	var l autoscale.Learned
	l.Fail(time.Millisecond, time.Millisecond)
	if need := l.Need(); need != 0 {
		t.Errorf("the need is %g", need)
	}
}

// The cost of a start halves with each instance that gets requests before.
func TestTheCostOfAStartHalvesWithTheRank(t *testing.T) {
	var l autoscale.Learned
	l.Started(800 * time.Millisecond)
	l.Rests(100 << 20)
	if c := l.CostsAt(3); c.Start != 100*time.Millisecond || c.Memory != 100<<20 {
		t.Errorf("the costs are %+v", c)
	}
}
