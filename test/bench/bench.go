// Bench measures Lateen as a process of its own, side by side with its
// alternatives, prints tables and writes docs/benchmarks.md.
//
//	go run ./test/bench [-n 1] [-only static,warm] [-out docs/benchmarks.md]
//	go run ./test/bench -engine [-n 1] [-only starts,wakes] [-out docs/benchmarks-engine.md]
//
// It needs the results of `make bench`: bin/lateen and the built examples. It
// runs on Linux, whose /proc it reads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the only one
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	root    string // of the repository
	dir     string // scratch, which every user may pass
	scale   float64
	tools   *tools
	machine *machine
	line    *progress
}

// chapter is one subject: its measurement and its result.
type chapter struct {
	name    string // for -only
	title   string
	method  string
	measure func(ctx context.Context, b *bench) ([]table, error)
}

// book is the content of one page of the documentation.
type book struct {
	introduction string
	page         string // file to write
	chapters     []chapter
}

func platformBook() book {
	return book{introduction, "docs/benchmarks.md", []chapter{
		routerChapter(), staticChapter(), warmChapter(), coldChapter(), deployChapter(), memoryChapter(),
	}}
}

func (b book) names() string {
	names := make([]string, 0, len(b.chapters))
	for _, c := range b.chapters {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// choices are the options of a run.
type choices struct {
	scale     float64
	only, out string
	lateen    string
	idleWait  time.Duration
	book      book
	wanted    []chapter
}

func parse(args []string) (c choices, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	engine := flags.Bool("engine", false, "measure the function engine")
	flags.Float64Var(&c.scale, "n", 1, "how often everything is measured, times the default")
	flags.StringVar(&c.only, "only", "", "comma-separated `chapters`: "+platformBook().names()+"; with -engine: "+engineBook().names())
	flags.StringVar(&c.out, "out", "", "`file` to write; none is docs/benchmarks.md or docs/benchmarks-engine.md, unless only some chapters run")
	flags.StringVar(&c.lateen, "lateen", "", "`binary` to measure; none is bin/lateen")
	flags.DurationVar(&c.idleWait, "idle-wait", 4*time.Second, "how long each batch waits for an idle machine")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if c.book = platformBook(); *engine {
		c.book = engineBook()
	}
	if c.out == "" && c.only == "" {
		c.out = c.book.page
	}
	c.wanted, err = choose(c.book.chapters, c.only)
	return c, err
}

func run(ctx context.Context, args []string) (err error) {
	c, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{scale: c.scale, machine: newMachine(c.idleWait), line: newProgress(os.Stderr)}
	if b.root, err = repository(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "lateen-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o755); err != nil { //nolint:gosec // functions run as others and reach their files through it
		return err
	}
	b.line.say("tools")
	if b.tools, err = findTools(ctx, b.root, c.lateen); err != nil {
		return err
	}
	r := &report{introduction: c.book.introduction, started: time.Now(), scale: c.scale}
	r.facts = b.facts(ctx)
	for _, one := range c.wanted {
		r.results = append(r.results, b.measure(ctx, one))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.took = time.Since(r.started)
	b.line.clear()
	r.print(os.Stdout)
	if c.out == "" {
		return nil
	}
	if !filepath.IsAbs(c.out) {
		c.out = filepath.Join(b.root, c.out)
	}
	return r.write(c.out)
}

// measure runs a chapter. A failure is reported together with the measurements
// before it.
func (b *bench) measure(ctx context.Context, c chapter) result {
	b.line.begin(c.title)
	began := b.machine.begin()
	tables, err := c.measure(ctx, b)
	return result{chapter: c, tables: tables, err: err, state: b.machine.end(began)}
}

// times returns n scaled by the option -n, at least 1.
func (b *bench) times(n int) int { return max(1, int(math.Round(float64(n)*b.scale))) }

// choose returns the chapters that only names; all if it is empty.
func choose(all []chapter, only string) ([]chapter, error) {
	if only == "" {
		return all, nil
	}
	var chosen []chapter
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(c chapter) bool { return c.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("there is no chapter %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// repository finds the top of the repository from the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it in the repository: there is no go.mod here or above")
		}
	}
}
