package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Elapsed formats a duration: 850ms, 3.2s, 4m 10s, 2h 5m.
func Elapsed(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Millisecond:
		return "0ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Precise formats a short duration with three digits: 0.4ms, 12.3ms, 340ms, 1.25s.
func Precise(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 0.05:
		return "0ms"
	case ms < 99.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + "ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + "ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 2, 64) + "s"
}

// Amount formats a number of bytes in decimal units: 840 B, 12.3 kB, 4.0 MB.
func Amount(bytes int64) string {
	if bytes < 1000 {
		return strconv.FormatInt(bytes, 10) + " B"
	}
	value, unit := float64(bytes)/1000, 0
	for value >= 999.95 && unit < 3 {
		value, unit = value/1000, unit+1
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + []string{"kB", "MB", "GB", "TB"}[unit]
}

// Count formats a number with a noun: 1 file, 12 files.
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// TrimDuration removes the trailing zero units of a duration: 1h0m0s becomes 1h. Other texts
// stay as they are.
func TrimDuration(value string) string {
	for _, zero := range []string{"m0s", "h0m"} {
		if short, ok := strings.CutSuffix(value, zero); ok {
			value = short + zero[:1]
		}
	}
	return value
}

// Capital returns text with its first letter in upper case, unless that begins
// a command or a flag.
func Capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
