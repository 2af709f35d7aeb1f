package terminal

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Style is a text style, as parameters of SGR (ECMA-48 §8.3.117). Only the sixteen
// colours of the user's terminal theme are used. Each colour has one meaning in all
// commands.
type Style string

// The styles.
const (
	Bold Style = "1"  // a title
	Dim  Style = "2"  // beside the point
	Good Style = "32" // ready, done
	Warn Style = "33" // on its way, or odd
	Bad  Style = "31" // failed
	Code Style = "36" // to be typed or clicked
)

// Paint returns text in a style. [Term] removes styles from outputs without colour.
func Paint(s Style, text string) string {
	if text == "" {
		return ""
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

// Quoted paints text between backticks as a command; without colour the backticks stay.
func Quoted(text string, color bool) string {
	if !color {
		return text
	}
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts)-1; i += 2 {
		parts[i] = Paint(Code, parts[i])
	}
	return strings.Join(parts, "")
}

// Clean makes foreign text safe for a terminal: a log line must not move the cursor or
// change the title. Line breaks become spaces.
func Clean(text string) string {
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

// CleanLines is [Clean] for text of several lines.
func CleanLines(text string) []string {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		lines[i] = Clean(strings.ReplaceAll(line, "\t", "    "))
	}
	return lines
}

// Cut shortens painted text to a width, with an ellipsis.
func Cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	return ansi.Truncate(text, width, "…")
}

// Pad fills painted text with spaces up to a width.
func Pad(text string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return space + text
	}
	return text + space
}

// Wrap breaks painted text at spaces into lines of at most width columns; a longer word
// makes a longer line.
func Wrap(text string, width int) string {
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
