package terminal

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Gap is the number of spaces between the columns of a table.
const Gap = 3

// Column is a column of a table.
type Column struct {
	Title string
	Right bool // numbers
	// Drop is the order in which columns are dropped from narrow terminals: the highest
	// first. A column with 0 is never dropped, but may be truncated.
	Drop int
}

// Table prints rows of painted cells below their titles. If standard output is not a
// terminal, every column is printed in full.
func (t *Term) Table(columns []Column, rows [][]string) {
	t.print(&t.stdout, layOut(columns, rows, t.stdout.width()))
}

// layOut returns the lines of a table in at most width columns; 0 is unlimited.
func layOut(columns []Column, rows [][]string, width int) string {
	shown := make([]int, 0, len(columns))
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = ansi.StringWidth(c.Title)
		empty := true
		for _, row := range rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			empty = empty && row[i] == ""
		}
		if !empty || c.Drop == 0 {
			shown = append(shown, i)
		}
	}
	shown = fit(columns, shown, widths, width)
	var b strings.Builder
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = Paint(Dim, c.Title)
	}
	for _, row := range append([][]string{titles}, rows...) {
		var line strings.Builder
		for n, i := range shown {
			if n > 0 {
				line.WriteString(strings.Repeat(" ", Gap))
			}
			line.WriteString(Pad(Cut(row[i], widths[i]), widths[i], columns[i].Right))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// fit drops columns until the rest is at most width columns wide, and then
// narrows the widest.
func fit(columns []Column, shown, widths []int, width int) []int {
	for width > 0 {
		total := Gap * (len(shown) - 1)
		least, widest := -1, shown[0]
		for _, i := range shown {
			total += widths[i]
			if columns[i].Drop > 0 && (least < 0 || columns[i].Drop > columns[least].Drop) {
				least = i
			}
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		switch {
		case total <= width:
			return shown
		case least >= 0:
			shown = slices.DeleteFunc(shown, func(i int) bool { return i == least })
		default:
			widths[widest] = max(4, widths[widest]-(total-width))
			return shown
		}
	}
	return shown
}

// Field is a fact: its name, and its value.
type Field [2]string

// Fields prints facts, one per line, without those that have no value. A value of
// several lines is indented.
func (t *Term) Fields(fields []Field) {
	width := 0
	for _, f := range fields {
		if f[1] != "" {
			width = max(width, len(f[0]))
		}
	}
	var b strings.Builder
	for _, f := range fields {
		if f[1] == "" {
			continue
		}
		value := strings.ReplaceAll(f[1], "\n", "\n"+strings.Repeat(" ", width+2+Gap))
		b.WriteString("  " + Pad(Paint(Dim, f[0]), width, false) + strings.Repeat(" ", Gap) + value + "\n")
	}
	t.print(&t.stdout, b.String())
}
