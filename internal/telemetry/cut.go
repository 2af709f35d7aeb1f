package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
)

// The limits of one value in the daemon's log: some values contain input of visitors
// and of user code.
const (
	maxValue = 2 << 10
	maxStack = 16 << 10 // limit for the stack of a panic
)

// cutValue truncates the texts of a log record.
func cutValue(_ []string, a slog.Attr) slog.Attr {
	limit := maxValue
	if a.Key == "stack" {
		limit = maxStack
	}
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cut(v.String(), limit))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(cut(err.Error(), limit))
		}
	default:
	}
	return a
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:limit], ""), len(text))
}
