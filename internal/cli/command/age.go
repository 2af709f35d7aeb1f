package command

import (
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
)

// age is how long ago something was, in one unit: 12s, 5m, 3h, 2d.
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
