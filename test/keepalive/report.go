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

	Settings   *result   // the policy with other settings
	Variations *result   // other resolutions and parts of the trace
	Memory     []*result // with memory limits; nil: the trace has no sizes of functions
}

// result is a table of policies.
type result struct {
	Title   string
	minutes bool // of a trace with a resolution of a minute
	memory  bool // with a memory limit
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

// platformPolicy returns the policy of the platform without history.
func platformPolicy(t *trace, p autoscale.Policy) policy { return newLearned(p, t.functions, false) }

// measure replays a trace under all policies and settings, and returns an error if the
// policy of the platform does not beat the baseline.
func (rep *report) measure(t *trace) error {
	coarse, fine := t.byMinute(), t.bySecond(1)
	s := &study{Trace: fmt.Sprintf("%s: %d functions, %s requests, %d minutes", t.name, len(t.functions), count(fine.requests()), minutes(coarse.end))}
	rep.Studies = append(rep.Studies, s)
	s.Settings = settings(coarse)
	s.Variations = variations(t, coarse, fine)
	s.Memory = withMemoryLimits(fine)
	s.Main = compare(coarse)
	return s.Main.check()
}

// compare replays t with fixed keep-alives and with the policy of the platform.
func compare(t *trace) *result {
	r := &result{minutes: true}
	for _, n := range []int{1, 5, 10, 20, 60} {
		r.add(fixedName(n), run(t, fixed{minute(n)}, 0))
	}
	r.add("no limit", run(t, fixed{forever}, 0))
	r.add("**learned**", run(t, platformPolicy(t, autoscale.Policy{}), 0))
	return r
}

func fixedName(minutes int) string { return fmt.Sprintf("%d min", minutes) }

// outcomeOf returns the outcome of the policy with a name; nil if r does not have it.
func (r *result) outcomeOf(name string) *outcome {
	for _, l := range r.lines {
		if l.name == name {
			return l.outcome
		}
	}
	return nil
}

// check returns an error unless the learned policy beats the baseline: it holds
// instances for less time, and the 75th percentile of functions has a lower share of cold
// starts, or the same as without any stop of instances.
func (r *result) check() error {
	fixed, unlimited, learned := r.outcomeOf(fixedName(minutes(baseline))), r.outcomeOf("no limit"), r.outcomeOf("**learned**")
	switch {
	case learned.warm >= fixed.warm:
		return fmt.Errorf("learned: %d minutes with an instance; %s for all: %d", minutes(learned.warm), baseline, minutes(fixed.warm))
	case learned.share(75) >= fixed.share(75) && learned.share(75) > unlimited.share(75):
		return fmt.Errorf("learned: %.1f %% cold at the 75th percentile of functions; %s for all: %.1f %%", learned.share(75), baseline, fixed.share(75))
	}
	return nil
}

// settings replays the policy of the platform with other settings.
func settings(t *trace) *result {
	r := &result{minutes: true}
	for _, n := range []int{2, 5, 10, 15, 20, 30, 40, 60, 120} {
		r.add(fmt.Sprintf("a second is worth %d min", n), run(t, platformPolicy(t, autoscale.Policy{Worth: minute(n)}), 0))
	}
	for _, ahead := range []float64{0.1, 0.5, 1} {
		r.add(fmt.Sprintf("a prewarm costs %g of a start", ahead), run(t, platformPolicy(t, autoscale.Policy{Ahead: ahead}), 0))
	}
	return r
}

// variations replays the baseline and the policy of the platform on the trace at other
// resolutions and on parts of it.
func variations(t, coarse, fine *trace) *result {
	r := &result{}
	compareBoth := func(name string, t *trace) {
		r.add(name+": 10 min", run(t, fixed{baseline}, 0))
		r.add(name+": **learned**", run(t, platformPolicy(t, autoscale.Policy{}), 0))
	}
	compareBoth("to the second", fine)
	if t.coarse {
		compareBoth("to the second, another seed", t.bySecond(2))
	}
	all := func(int) bool { return true }
	compareBoth("every other function", coarse.subset(func(f int) bool { return f%2 == 0 }, 0, t.end))
	compareBoth("the other functions", coarse.subset(func(f int) bool { return f%2 == 1 }, 0, t.end))
	if middle := (t.end / 2).Truncate(time.Minute); middle >= 2*baseline {
		compareBoth("first half", coarse.subset(all, 0, middle))
		compareBoth("second half", coarse.subset(all, middle, t.end))
	}
	return r
}

// withMemoryLimits replays the policies with memory limits; nil if t has no sizes.
func withMemoryLimits(t *trace) []*result {
	var total int64
	for _, f := range t.functions {
		total += f.memory
	}
	if total == 0 {
		return nil
	}
	var all []*result
	for _, share := range []int64{60, 40, 20} {
		limit := total * share / 100
		r := &result{Title: fmt.Sprintf("%.1f GiB, %d %% of the memory of all functions", float64(limit)/(1<<30), share), memory: true}
		r.add("10 min; least recently used", run(t, fixed{baseline}, limit))
		r.add("no limit; greedy-dual", run(t, greedy{newLearned(autoscale.Policy{}, t.functions, true)}, limit))
		r.add("**learned; greedy-dual**", run(t, newLearned(autoscale.Policy{}, t.functions, true), limit))
		all = append(all, r)
	}
	return all
}

// column is a column of a table.
type column struct {
	head string
	cell func(l line) string
}

// columns returns the columns that apply to r.
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

// count formats a number with thousands separators.
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
		fmt.Fprintf(w, "\n%s\n\n%s\n%s\n%s", s.Trace, s.Main, s.Settings, s.Variations)
		for _, r := range s.Memory {
			fmt.Fprintf(w, "\n%s\n\n%s", r.Title, r)
		}
	}
}

// write writes the page, and the picture into the same directory.
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
