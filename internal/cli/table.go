package cli

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// gap is between the columns of a table.
const gap = 3

// column is a column of a table.
type column struct {
	title string
	right bool // numbers
	// drop says when it goes where the terminal is narrow: the highest first; 0
	// stays and is cut off if it must be.
	drop int
}

// Table prints rows of painted cells under their titles. Where standard output
// is no terminal, every column is there in full.
func (t *Term) Table(columns []column, rows [][]string) {
	t.print(&t.stdout, layOut(columns, rows, t.stdout.width()))
}

// layOut returns the lines of a table in at most width columns; 0 is no bound.
func layOut(columns []column, rows [][]string, width int) string {
	shown := make([]int, 0, len(columns))
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = ansi.StringWidth(c.title)
		empty := true
		for _, row := range rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			empty = empty && row[i] == ""
		}
		if !empty || c.drop == 0 {
			shown = append(shown, i)
		}
	}
	shown = fit(columns, shown, widths, width)
	var b strings.Builder
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = paint(dim, c.title)
	}
	for _, row := range append([][]string{titles}, rows...) {
		var line strings.Builder
		for n, i := range shown {
			if n > 0 {
				line.WriteString(strings.Repeat(" ", gap))
			}
			line.WriteString(pad(cut(row[i], widths[i]), widths[i], columns[i].right))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// fit drops columns until the rest is at most width columns wide, and then
// narrows the widest.
func fit(columns []column, shown, widths []int, width int) []int {
	for width > 0 {
		total := gap * (len(shown) - 1)
		least, widest := -1, shown[0]
		for _, i := range shown {
			total += widths[i]
			if columns[i].drop > 0 && (least < 0 || columns[i].drop > columns[least].drop) {
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

// field is a fact with its name.
type field struct{ name, value string }

// Fields prints facts one a line, those without a value left out. A value of
// several lines is indented.
func (t *Term) Fields(fields []field) {
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	var b strings.Builder
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		value := strings.ReplaceAll(f.value, "\n", "\n"+strings.Repeat(" ", width+2+gap))
		b.WriteString("  " + pad(paint(dim, f.name), width, false) + strings.Repeat(" ", gap) + value + "\n")
	}
	t.print(&t.stdout, b.String())
}
