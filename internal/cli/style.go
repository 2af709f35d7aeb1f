package cli

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// style is how text looks, as parameters of SGR (ECMA-48 §8.3.117). Only the
// sixteen colours are used: they are the user's own choice. A colour means one
// thing everywhere.
type style string

const (
	bold style = "1"
	dim  style = "2"  // beside the point
	good style = "32" // ready, done
	warn style = "33" // on its way, or odd
	bad  style = "31" // failed
	code style = "36" // to be typed or clicked
)

// paint returns text in a style. [Term] takes it away where there is no colour.
func paint(s style, text string) string {
	if text == "" {
		return ""
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

// quoted paints what is between backticks as something to type; without colour
// the backticks stay.
func quoted(text string, color bool) string {
	if !color {
		return text
	}
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts)-1; i += 2 {
		parts[i] = paint(code, parts[i])
	}
	return strings.Join(parts, "")
}

// clean makes text that came from elsewhere safe to show: a log line must not
// move the cursor or change the title. Line breaks become spaces.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, ansi.Strip(text))
}

// cleanLines is [clean] for text of several lines.
func cleanLines(text string) []string {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		lines[i] = clean(strings.ReplaceAll(line, "\t", "    "))
	}
	return lines
}

// cut shortens painted text to a width, with an ellipsis.
func cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	return ansi.Truncate(text, width, "…")
}

// pad fills painted text with spaces up to a width.
func pad(text string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return space + text
	}
	return text + space
}

// wrap breaks painted text at spaces into lines of at most width columns; what
// has no space in it may be longer.
func wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for word := range strings.SplitSeq(text, " ") {
		n := ansi.StringWidth(word)
		switch {
		case used == 0:
		case used+1+n > width:
			b.WriteString("\n")
			used = 0
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}
