package lateen_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// TestASampleIsDividedAtHours divides samples of different lengths: the parts add up
// to the sample, and none has more time than its part of the hour.
func TestASampleIsDividedAtHours(t *testing.T) {
	const hour = lateen.Millis(3_600_000)
	for _, c := range []struct {
		from, to lateen.Millis
		hours    int
	}{
		{10 * hour, 10 * hour, 1},
		{10 * hour, 10*hour + 1, 1},
		{10*hour + 7, 11 * hour, 1},
		{11*hour - 1, 11*hour + 1, 2},
		{11*hour - 10_000, 11*hour + 40_000, 2},
		{10*hour + 1, 14*hour + 3, 5},
	} {
		took := time.Duration(c.to-c.from) * time.Millisecond
		s := lateen.UsageSample{
			Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Function: "/a", From: c.from, To: c.to,
			Usage: lateen.Usage{
				Busy:   lateen.StateUsage{Time: took / 3, Memory: 1_000_000_007, CPU: 77},
				Frozen: lateen.StateUsage{Time: took - took/3, Memory: 13},
			},
		}
		parts := s.Hours()
		if len(parts) != c.hours {
			t.Fatalf("%d to %d: %d parts, want %d", c.from, c.to, len(parts), c.hours)
		}
		var sum lateen.Usage
		for i, part := range parts {
			if want := c.from - c.from%hour + lateen.Millis(i)*hour; part.Hour != want || part.Team != s.Team || part.Project != s.Project || part.Deployment != s.Deployment || part.Function != s.Function {
				t.Errorf("%d to %d: part %d is %+v, want hour %d", c.from, c.to, i, part, want)
			}
			within := time.Duration(min(c.to, part.Hour+hour)-max(c.from, part.Hour)) * time.Millisecond
			if got := part.Total().Time; (got - within).Abs() > time.Microsecond {
				t.Errorf("%d to %d: part %d has %s, want %s", c.from, c.to, i, got, within)
			}
			sum.Add(part.Usage)
		}
		if sum != s.Usage {
			t.Errorf("%d to %d: the parts add up to %+v, want %+v", c.from, c.to, sum, s.Usage)
		}
	}
}
