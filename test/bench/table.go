package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is some rows below a head. The first columns hold text, the rest numbers.
type table struct {
	caption string
	head    []string
	text    int // columns of text; 0 is 1
	rows    []row
	notes   []string // below it
}

// row is a line of a table.
type row struct {
	cells []string
	kind  kind
}

// kind is whose row it is.
type kind int

const (
	peer kind = iota // another server
	ours
	failed
)

func (t *table) add(k kind, cells ...string) { t.rows = append(t.rows, row{cells, k}) }

// fail adds a row with the reason for missing numbers.
func (t *table) fail(err error, cells ...string) {
	reason := strings.Join(strings.Fields(err.Error()), " ")
	if len(reason) > maxReason {
		reason = "…" + strings.ToValidUTF8(reason[len(reason)-maxReason:], "")
	}
	t.add(failed, append(cells, "failed: "+reason)...)
}

// maxReason is how much of an error a row shows: its end.
const maxReason = 160

func (t *table) textColumns() int { return max(1, t.text) }

// widths are the columns' widths. The text of a failed row may be wider.
func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for _, cells := range append([][]string{t.head}, t.measured()...) {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// measured are the cells of rows, without the reasons of failed ones.
func (t *table) measured() [][]string {
	var all [][]string
	for _, r := range t.rows {
		cells := r.cells
		if r.kind == failed {
			cells = cells[:len(cells)-1]
		}
		all = append(all, cells)
	}
	return all
}

const (
	styleReset  = "\x1b[0m"
	styleTitle  = "\x1b[1m"
	styleHead   = "\x1b[2m"
	styleOurs   = "\x1b[36m"
	styleFailed = "\x1b[31m"
)

// print writes the table for a person at a terminal.
func (t *table) print(w io.Writer, paint func(style, text string) string) {
	if t.caption != "" {
		fmt.Fprintf(w, "\n  %s\n", t.caption)
	}
	widths := t.widths()
	line := func(cells []string) string {
		var text strings.Builder
		for i, cell := range cells {
			space := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if i < t.textColumns() {
				text.WriteString("  " + cell + space)
			} else {
				text.WriteString("  " + space + cell)
			}
		}
		return strings.TrimRight(text.String(), " ")
	}
	fmt.Fprintln(w, paint(styleHead, line(t.head)))
	for _, r := range t.rows {
		switch r.kind {
		case ours:
			fmt.Fprintln(w, paint(styleOurs, line(r.cells)))
		case failed:
			fmt.Fprintln(w, paint(styleFailed, line(r.cells)))
		default:
			fmt.Fprintln(w, line(r.cells))
		}
	}
	for _, note := range t.notes {
		fmt.Fprintf(w, "  %s\n", paint(styleHead, note))
	}
}

// markdown is the table as documentation has it.
func (t *table) markdown() string {
	var out strings.Builder
	if t.caption != "" {
		out.WriteString(t.caption + "\n\n")
	}
	line := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := slices.Repeat([]string{"---"}, len(t.head))
	for i := t.textColumns(); i < len(rule); i++ {
		rule[i] = "---:"
	}
	line(rule)
	comparison := slices.ContainsFunc(t.rows, func(r row) bool { return r.kind == peer })
	for _, r := range t.rows {
		cells := slices.Clone(r.cells)
		if r.kind == ours && comparison {
			cells[t.textColumns()-1] = "**" + cells[t.textColumns()-1] + "**"
		}
		line(cells)
	}
	for _, note := range t.notes {
		out.WriteString("\n" + note + "\n")
	}
	return out.String()
}
