package main

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trace is a list of arrivals at functions; times are relative to its start.
type trace struct {
	name      string
	functions []function
	arrivals  []arrival // in order of time
	end       time.Duration
	coarse    bool // times have a resolution of a minute
}

// function is a function of a trace.
type function struct {
	id       string
	trigger  string        // "": unknown
	duration time.Duration // average duration of an invocation; 0: unknown
	memory   int64         // bytes; 0: unknown
}

// arrival is a request, or the requests of one minute.
type arrival struct {
	function int
	at       time.Duration
	duration time.Duration
	count    int
}

// table is a file of named columns.
type table struct {
	name    string
	columns map[string]int
	rows    [][]string
}

// traces reads every trace below dir, recognized by the names of its columns.
func traces(dir string) ([]*trace, error) {
	var all []*trace
	recorded := map[string]function{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := open(path)
		if err == nil {
			all, err = file.addTo(all, recorded)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no trace below %s", dir)
	}
	for _, t := range all {
		for i := range t.functions {
			f := &t.functions[i]
			f.duration, f.memory = recorded[f.id].duration, recorded[f.id].memory
		}
	}
	return all, nil
}

// open reads comma-separated values, compressed or not. Any other file is an empty table.
func open(path string) (*table, error) {
	plain := strings.TrimSuffix(path, ".gz")
	t := &table{name: strings.TrimSuffix(filepath.Base(plain), ".csv"), columns: map[string]int{}}
	if !strings.HasSuffix(plain, ".csv") {
		return t, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if plain != path {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil || len(rows) == 0 {
		return t, err
	}
	for i, name := range rows[0] {
		t.columns[name] = i
	}
	t.rows = rows[1:]
	return t, nil
}

// has reports whether t has all these columns.
func (t *table) has(columns ...string) bool {
	return !slices.ContainsFunc(columns, func(name string) bool { _, ok := t.columns[name]; return !ok })
}

// number returns a cell; 0 if it is no number.
func (t *table) number(row []string, column string) float64 {
	x, err := strconv.ParseFloat(row[t.columns[column]], 64)
	if err != nil {
		return 0
	}
	return x
}

// addTo adds the content of t to the traces, or to the recorded data of functions.
func (t *table) addTo(all []*trace, recorded map[string]function) ([]*trace, error) {
	switch {
	case t.has("HashFunction", "Trigger"):
		trace, err := t.perMinute()
		return append(all, trace), err
	case t.has("app", "func", "end_timestamp", "duration"):
		return append(all, t.perInvocation()), nil
	case t.has("HashFunction", "Average", "Count"):
		for _, row := range t.rows {
			f := recorded[row[t.columns["HashFunction"]]]
			f.duration = time.Duration(t.number(row, "Average") * float64(time.Millisecond))
			recorded[row[t.columns["HashFunction"]]] = f
		}
	case t.has("HashFunction", "AverageAllocatedMb"):
		for _, row := range t.rows {
			f := recorded[row[t.columns["HashFunction"]]]
			f.memory = int64(t.number(row, "AverageAllocatedMb") * (1 << 20))
			recorded[row[t.columns["HashFunction"]]] = f
		}
	}
	return all, nil
}

// perMinute reads the number of invocations of each function in each minute, from the
// columns after the trigger's.
func (t *table) perMinute() (*trace, error) {
	first := t.columns["Trigger"] + 1
	all := &trace{name: "Azure Functions 2019", coarse: true}
	for f, row := range t.rows {
		all.functions = append(all.functions, function{id: row[t.columns["HashFunction"]], trigger: row[first-1]})
		for i, cell := range row[first:] {
			n, err := strconv.Atoi(cell)
			if err != nil {
				return nil, err
			}
			minute := time.Duration(i) * time.Minute
			if n > 0 {
				all.arrivals = append(all.arrivals, arrival{f, minute, 0, n})
			}
			all.end = max(all.end, minute+time.Minute)
		}
	}
	all.sort()
	return all, nil
}

// perInvocation reads invocations, each with its end and duration in seconds.
func (t *table) perInvocation() *trace {
	all := &trace{name: "Azure Functions 2021, " + t.name}
	known := map[string]int{}
	for _, row := range t.rows {
		id := row[t.columns["app"]] + "/" + row[t.columns["func"]]
		f, ok := known[id]
		if !ok {
			f = len(all.functions)
			known[id] = f
			all.functions = append(all.functions, function{id: id})
		}
		end, duration := seconds(t.number(row, "end_timestamp")), seconds(t.number(row, "duration"))
		all.arrivals = append(all.arrivals, arrival{f, max(0, end-duration), duration, 1})
		all.end = max(all.end, end)
	}
	all.sort()
	return all
}

func seconds(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }

// sort orders arrivals by time, and those of one time by function.
func (t *trace) sort() {
	slices.SortStableFunc(t.arrivals, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.function, b.function))
	})
}

// requests returns the number of requests.
func (t *trace) requests() int {
	n := 0
	for _, a := range t.arrivals {
		n += a.count
	}
	return n
}

// byMinute returns t with a resolution of a minute, without durations.
func (t *trace) byMinute() *trace {
	if t.coarse {
		return t
	}
	type slot struct {
		at       time.Duration
		function int
	}
	counts := map[slot]int{}
	for _, a := range t.arrivals {
		counts[slot{a.at.Truncate(time.Minute), a.function}] += a.count
	}
	c := &trace{name: t.name, functions: t.functions, coarse: true, end: (t.end + time.Minute - 1).Truncate(time.Minute)}
	for s, n := range counts {
		c.arrivals = append(c.arrivals, arrival{s.function, s.at, 0, n})
	}
	c.sort()
	return c
}

// bySecond returns t with a time for each request. Those of a coarse trace are random
// times of their minute, except that the first request of a timer has the same offset in
// all minutes. Each request lasts as long as the average of its function.
func (t *trace) bySecond(seed uint64) *trace {
	if !t.coarse {
		return t
	}
	s := &trace{name: t.name, functions: t.functions, end: t.end}
	rng := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a repeatable simulation, no secret
	phases := make([]time.Duration, len(t.functions))
	for i := range phases {
		phases[i] = randomOffset(rng)
	}
	for _, a := range t.arrivals {
		f := t.functions[a.function]
		for i := range a.count {
			at := a.at + randomOffset(rng)
			if i == 0 && f.trigger == "timer" {
				at = a.at + phases[a.function]
			}
			s.arrivals = append(s.arrivals, arrival{a.function, at, f.duration, 1})
		}
	}
	s.sort()
	return s
}

// randomOffset returns a random duration below a minute.
func randomOffset(rng *rand.Rand) time.Duration { return time.Duration(rng.Int64N(int64(time.Minute))) }

// subset returns the arrivals at the wanted functions in [from, to), relative to from.
func (t *trace) subset(wanted func(function int) bool, from, to time.Duration) *trace {
	part := &trace{name: t.name, end: min(to, t.end) - from, coarse: t.coarse}
	indexes := map[int]int{}
	for _, a := range t.arrivals {
		if !wanted(a.function) || a.at < from || a.at >= to {
			continue
		}
		f, ok := indexes[a.function]
		if !ok {
			f = len(part.functions)
			indexes[a.function] = f
			part.functions = append(part.functions, t.functions[a.function])
		}
		a.function, a.at = f, a.at-from
		part.arrivals = append(part.arrivals, a)
	}
	return part
}
