package process

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// Samples are taken while the host's clock is set back and ahead: durations remain
// those of the monotonic clock, and the intervals do not overlap.
func TestSamplesOfStandbysDoNotOverlapWhenTheClockIsSet(t *testing.T) {
	begin := time.Now()
	s := standby{owner: owner{"team_1", "prj_1", "dpl_1", "/a"}, at: begin}
	var last lateen.Millis
	for n, shift := range []time.Duration{0, -3 * time.Hour, 0, 5 * time.Hour, -100 * time.Hour, 0} {
		now := begin.Add(time.Duration(n+1) * 50 * time.Second)
		got, ok := s.take(now, now.Add(shift), time.Duration(n+1)*time.Millisecond, 1000)
		want := lateen.Usage{Standby: lateen.StateUsage{Time: 50 * time.Second, Memory: 50_000, CPU: time.Millisecond}}
		if !ok || got.Usage != want || got.Team != "team_1" || got.Project != "prj_1" || got.Deployment != "dpl_1" || got.Function != "/a" {
			t.Errorf("sample %d is %+v", n, got)
		}
		if got.From < last || got.To-got.From != 50_000 {
			t.Errorf("sample %d lasts from %d to %d, after one that ended at %d", n, got.From, got.To, last)
		}
		last = got.To
	}
}

// A process that is booted for a start has used CPU time, but no time: the usage of the
// instance has the time since the start began. Nothing is counted twice.
func TestTimeBeforeTheLastSampleOfAStandbyIsNotCounted(t *testing.T) {
	begin := time.Now()
	s := standby{at: begin}
	before := begin.Add(-time.Second)
	if got, ok := s.take(before, before, 7*time.Millisecond, 0); !ok || got.Usage != (lateen.Usage{Standby: lateen.StateUsage{CPU: 7 * time.Millisecond}}) || got.From != got.To {
		t.Errorf("the sample is %+v, %v", got, ok)
	}
	if got, ok := s.take(begin, begin, 5*time.Millisecond, 0); ok {
		t.Errorf("a second sample is %+v", got)
	}
	now := begin.Add(time.Second)
	if got, _ := s.take(now, now, 8*time.Millisecond, 1000); got.Standby != (lateen.StateUsage{Time: time.Second, Memory: 1000, CPU: time.Millisecond}) {
		t.Errorf("a later sample is %+v", got)
	}
	now = now.Add(time.Second)
	if got, _ := s.take(now, now, 8*time.Millisecond, 0); got.Standby != (lateen.StateUsage{Time: time.Second, Memory: 1000}) {
		t.Errorf("without a reading of the memory, the sample is %+v", got)
	}
}
