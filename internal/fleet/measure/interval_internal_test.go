package measure

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// A meter counts each moment once, even if the times of two requests arrive in the
// wrong order.
func TestOverlappingRequestsCountEachMomentOnce(t *testing.T) {
	begin := time.Now()
	m := Meter{at: begin}
	m.Change(begin, 1)
	m.Change(begin.Add(10*time.Second), 1)
	m.Change(begin.Add(4*time.Second), -1) // read the clock before, and got the mutex after
	m.to(begin.Add(12 * time.Second))
	if m.working != 12 {
		t.Errorf("%g s with requests are counted within 12 s", m.working)
	}
}

// Samples are taken while the host's clock is set back and ahead: durations remain
// those of the monotonic clock, and the intervals neither overlap nor end before
// they begin.
func TestIntervalsDoNotOverlapWhenTheClockIsSet(t *testing.T) {
	begin := time.Now()
	i, m := Interval{}, Meter{at: begin}
	i.Begin(begin.Add(-time.Second), begin, engine.Usage{CPU: time.Millisecond, Memory: 1000})
	var samples []lateen.UsageSample
	for n, shift := range []time.Duration{0, -3 * time.Hour, -3 * time.Hour, 0, 5 * time.Hour, -100 * time.Hour, 0} {
		now := begin.Add(time.Duration(n+1) * 50 * time.Second)
		m.Take(now, engine.Usage{CPU: time.Duration(n+2) * time.Millisecond, Memory: 1000})
		i.Extend(&m)
		s, ok := i.Sample(now.Add(shift))
		if !ok {
			t.Fatal("there is no sample")
		}
		samples = append(samples, s)
	}
	var last lateen.Millis
	for n, s := range samples {
		want := 50 * time.Second
		if n == 0 {
			want += time.Second
		}
		total := s.Total()
		if total.Time != want || total.CPU != time.Millisecond*time.Duration(1+max(0, 1-n)) || total.Memory != 1000*int64(want.Seconds()) {
			t.Errorf("sample %d has %+v, want %s", n, total, want)
		}
		if s.From < last || s.To-s.From != lateen.Millis(want.Milliseconds()) || s.Serial != int64(n+1) {
			t.Errorf("sample %d, serial %d, lasts from %d to %d, after one that ended at %d", n, s.Serial, s.From, s.To, last)
		}
		last = s.To
	}
	if ahead := samples[4].From - samples[3].To; ahead < lateen.Millis(4*time.Hour/time.Millisecond) {
		t.Errorf("after the clock was set ahead, the interval begins %d ms after the one before", ahead)
	}
}
