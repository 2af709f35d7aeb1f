package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// report is all that came of a run.
type report struct {
	introduction string

	started time.Time
	took    time.Duration
	scale   float64
	facts   []fact
	results []result
}

// fact is something to know about a run: the processor, a version.
type fact struct{ name, value string }

// result is the result of a chapter.
type result struct {
	chapter

	tables []table
	state  span
	err    error
}

// print writes the report for a person at a terminal.
func (r *report) print(f *os.File) {
	paint := func(style, text string) string { return style + text + styleReset }
	if !colourful(f) {
		paint = func(_, text string) string { return text }
	}
	for _, res := range r.results {
		fmt.Fprintf(f, "\n%s\n", paint(styleTitle, res.title))
		for _, t := range res.tables {
			t.print(f, paint)
		}
		if res.err != nil {
			fmt.Fprintf(f, "  %s\n", paint(styleFailed, "failed: "+res.err.Error()))
		}
		fmt.Fprintf(f, "  %s\n", paint(styleHead, res.state.String()))
	}
	fmt.Fprintf(f, "\n%s\n", paint(styleHead, "took "+r.took.Round(time.Second).String()))
}

// write writes the report as a page of the documentation.
func (r *report) write(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(r.markdown()), 0o644) //nolint:gosec // documentation is public
}

func (r *report) markdown() string {
	var out strings.Builder
	out.WriteString(r.introduction)
	fmt.Fprintf(&out, "\nThis run: %s, %s long", r.started.UTC().Format("2 January 2006 15:04 UTC"), r.took.Round(time.Second))
	if r.scale != 1 {
		fmt.Fprintf(&out, ", counts %g times the default", r.scale)
	}
	out.WriteString(".\n\n| | |\n|---|---|\n")
	for _, f := range r.facts {
		fmt.Fprintf(&out, "| %s | %s |\n", f.name, f.value)
	}
	for _, res := range r.results {
		fmt.Fprintf(&out, "\n## %s\n\n%s\n", res.title, strings.TrimSpace(res.method))
		for _, t := range res.tables {
			out.WriteString("\n" + t.markdown())
		}
		if res.err != nil {
			fmt.Fprintf(&out, "\n**Failed:** %s\n", strings.ReplaceAll(res.err.Error(), "\n", " "))
		}
		fmt.Fprintf(&out, "\n%s\n", res.state)
	}
	return out.String()
}

const introduction = `# Benchmarks

Written by ` + "`make bench`" + `; do not edit. Every number comes from one run on one machine, with Lateen as a
process of its own and its peers beside it, measured in turns so that all of them see the same
conditions. Run it on yours: ` + "`make bench`" + ` takes about ten minutes on an otherwise idle machine.
[Benchmarks of the function engine](benchmarks-engine.md) measures how functions start and idle;
[goals](goals.md) lists its goals, met and missed, with their limiting factors.

How to read it:

- Trust ratios within a table more than numbers. The load generator, Lateen and the peers share the
  machine's processors, so throughput is that of a machine that runs both ends; a virtual machine's
  speed drifts between minutes, which moves all rows of a table alike.
- Differences below 20 % are noise.
- p99 of less than a few hundred measurements is close to their maximum; that is why counts are beside it.
- Times are milliseconds unless the head of a column says otherwise.
`
