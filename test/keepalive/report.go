package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

//go:embed keep-alive.md.tmpl
var page string

// report is all measurements.
type report struct {
	Studies []*study
}

// study is the results of one trace.
type study struct {
	Trace string
	Main  *result

	Settings *result   // of the policy
	Ways     *result   // to look at the trace
	Memory   []*result // when it is short; none if functions' sizes are not known
}

// result is a table of policies.
type result struct {
	Title   string
	minutes bool // looked at by the minute
	memory  bool // under a bound
	lines   []line
}

// line is a policy and its outcome.
type line struct {
	*outcome

	name string
}

func (r *result) add(name string, o *outcome) *outcome {
	r.lines = append(r.lines, line{o, name})
	return o
}

func minute(n int) time.Duration { return time.Duration(n) * time.Minute }

// ours returns the policy of the platform.
func ours(t *trace, p autoscale.Policy) policy { return newLearned(p, t.functions, false) }

// measure replays a trace in every way, and returns an error if the policy of the
// platform does not beat its baseline.
func (rep *report) measure(t *trace) error {
	coarse, fine := t.byMinute(), t.bySecond(1)
	s := &study{Trace: fmt.Sprintf("%s: %d functions, %s requests, %d minutes", t.name, len(t.functions), count(fine.requests()), minutes(coarse.end))}
	rep.Studies = append(rep.Studies, s)
	s.Settings = settings(coarse)
	s.Ways = ways(t, coarse, fine)
	s.Memory = short(fine)
	s.Main = compare(coarse)
	return s.Main.check()
}

// compare replays fixed keep-alives and ours.
func compare(t *trace) *result {
	r := &result{minutes: true}
	for _, n := range []int{1, 5, 10, 20, 60} {
		r.add(fixedName(n), run(t, fixed{minute(n)}, 0))
	}
	r.add("no limit", run(t, fixed{forever}, 0))
	r.add("**learned**", run(t, ours(t, autoscale.Policy{}), 0))
	return r
}

func fixedName(minutes int) string { return fmt.Sprintf("%d min", minutes) }

// named returns the outcome of the policy of this name.
func (r *result) named(name string) *outcome {
	for _, l := range r.lines {
		if l.name == name {
			return l.outcome
		}
	}
	return nil
}

// check returns an error unless the learned policy beats the baseline: it holds
// instances for less time, and fewer requests of the 75th percentile of functions
// find no instance, or as few as if instances were never stopped.
func (r *result) check() error {
	against, floor, mine := r.named(fixedName(minutes(baseline))), r.named("no limit"), r.named("**learned**")
	switch {
	case mine.warm >= against.warm:
		return fmt.Errorf("learned: %d minutes with an instance; %s for all: %d", minutes(mine.warm), baseline, minutes(against.warm))
	case mine.share(75) >= against.share(75) && mine.share(75) > floor.share(75):
		return fmt.Errorf("learned: %.1f %% cold at the 75th percentile of functions; %s for all: %.1f %%", mine.share(75), baseline, against.share(75))
	}
	return nil
}

// settings replays our policy with other settings of the operator.
func settings(t *trace) *result {
	r := &result{minutes: true}
	for _, n := range []int{2, 5, 10, 15, 20, 30, 40, 60, 120} {
		r.add(fmt.Sprintf("a second is worth %d min", n), run(t, ours(t, autoscale.Policy{Worth: minute(n)}), 0))
	}
	for _, ahead := range []float64{0.1, 0.5, 1} {
		r.add(fmt.Sprintf("a prewarm costs %g of a start", ahead), run(t, ours(t, autoscale.Policy{Ahead: ahead}), 0))
	}
	return r
}

// ways replays the baseline and our policy on the trace at other resolutions and on
// parts of it.
func ways(t, coarse, fine *trace) *result {
	r := &result{}
	duel := func(name string, t *trace) {
		r.add(name+": 10 min", run(t, fixed{baseline}, 0))
		r.add(name+": **learned**", run(t, ours(t, autoscale.Policy{}), 0))
	}
	duel("to the second", fine)
	if t.coarse {
		duel("to the second, another seed", t.bySecond(2))
	}
	all := func(int) bool { return true }
	duel("every other function", coarse.only(func(f int) bool { return f%2 == 0 }, 0, t.end))
	duel("the other functions", coarse.only(func(f int) bool { return f%2 == 1 }, 0, t.end))
	if middle := (t.end / 2).Truncate(time.Minute); middle >= 2*baseline {
		duel("first half", coarse.only(all, 0, middle))
		duel("second half", coarse.only(all, middle, t.end))
	}
	return r
}

// short replays the policies with a memory limit.
func short(t *trace) []*result {
	var total int64
	for _, f := range t.functions {
		total += f.memory
	}
	if total == 0 {
		return nil
	}
	var all []*result
	for _, share := range []int64{60, 40, 20} {
		bound := total * share / 100
		r := &result{Title: fmt.Sprintf("%.1f GiB, %d %% of the memory of all functions", float64(bound)/(1<<30), share), memory: true}
		r.add("10 min; least recently used", run(t, fixed{baseline}, bound))
		r.add("no limit; greedy-dual", run(t, greedy{newLearned(autoscale.Policy{}, t.functions, true)}, bound))
		r.add("**learned; greedy-dual**", run(t, newLearned(autoscale.Policy{}, t.functions, true), bound))
		all = append(all, r)
	}
	return all
}

// column is one of a table.
type column struct {
	head string
	cell func(l line) string
}

// columns are the columns that are meaningful in r.
func (r *result) columns() []column {
	percent := func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) + " %" }
	all := []column{
		{"keep-alive", func(l line) string { return l.name }},
		{"cold starts", func(l line) string { return count(l.colds) }},
		{"of requests", func(l line) string { return fmt.Sprintf("%.3f %%", 100*float64(l.colds)/float64(l.requests)) }},
		{"per function p50", func(l line) string { return percent(l.share(50)) }},
		{"p75", func(l line) string { return percent(l.share(75)) }},
		{"mean", func(l line) string { return percent(l.mean()) }},
		{"warm minutes", func(l line) string { return count(minutes(l.warm)) }},
		{"prewarmed", func(l line) string { return count(l.prewarms) }},
		{"unused", func(l line) string { return count(l.wasted) }},
		{"warm before use", func(l line) string { return count(minutes(l.ahead)) }},
	}
	if r.minutes {
		all = slices.Insert(all, 7, column{"begun minutes", func(l line) string { return count(l.begun) }})
	}
	if r.memory {
		all = append(all, column{"evicted", func(l line) string { return count(l.evicted) }})
	}
	return all
}

// String returns the table in Markdown, with aligned columns.
func (r *result) String() string {
	columns := r.columns()
	rows := make([]strings.Builder, len(r.lines)+2)
	for c, column := range columns {
		cells := []string{column.head}
		for _, l := range r.lines {
			cells = append(cells, column.cell(l))
		}
		width := 0
		for _, cell := range cells {
			width = max(width, utf8.RuneCountInString(cell))
		}
		for i, cell := range cells {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
			row := &rows[i]
			if i > 0 {
				row = &rows[i+1]
			}
			if c == 0 {
				row.WriteString("| " + cell + pad + " |")
			} else {
				row.WriteString(" " + pad + cell + " |")
			}
		}
		if rule := strings.Repeat("-", width+1); c == 0 {
			rows[1].WriteString("|" + rule + "-|")
		} else {
			rows[1].WriteString(rule + ":|")
		}
	}
	var all strings.Builder
	for i := range rows {
		all.WriteString(rows[i].String() + "\n")
	}
	return all.String()
}

func minutes(d time.Duration) int { return int(math.Round(d.Minutes())) }

// count writes a number with its thousands apart.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// print writes the tables for a person at a terminal.
func (rep *report) print(w io.Writer) {
	for _, s := range rep.Studies {
		fmt.Fprintf(w, "\n%s\n\n%s\n%s\n%s", s.Trace, s.Main, s.Settings, s.Ways)
		for _, r := range s.Memory {
			fmt.Fprintf(w, "\n%s\n\n%s", r.Title, r)
		}
	}
}

// write writes the page and the picture beside it.
func (rep *report) write(name string) error {
	tmpl, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := tmpl.Execute(&text, rep); err != nil {
		return err
	}
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(name, ".md")+".svg", rep.Studies[0].draw(), 0o644)
}
