package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Age is the time since at in one unit: 12s, 5m, 3h, 2d.
func (s *Session) Age(at lateen.Millis) string {
	d := max(s.process.Now().Sub(at.Time()), 0)
	switch {
	case at == 0:
		return "never"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Time is the present time.
func (s *Session) Time() time.Time { return s.process.Now() }

// Moment parses an age or a date.
func (s *Session) Moment(flag, text string) (lateen.Millis, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return lateen.MillisOf(s.process.Now().AddDate(0, 0, -n)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return lateen.MillisOf(s.process.Now().Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil { //nolint:gosmopolitan // people mean their own time
			return lateen.MillisOf(t), nil
		}
	}
	return 0, ErrUsage.With("%s %q is malformed", flag, text).WithHint("use an age such as 30m or 7d, or a date such as 2026-01-31T08:00:00Z")
}
