package command

import (
	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// PaintLevel paints a line of a log whose level is error or warning.
func PaintLevel(level, line string) string {
	switch level {
	case lateen.LevelError:
		return terminal.Paint(terminal.Bad, line)
	case lateen.LevelWarning:
		return terminal.Paint(terminal.Warn, line)
	}
	return line
}
