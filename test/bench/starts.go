package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	startRounds = 1000
	startPool   = 16
	openRounds  = 200
	plainEvery  = 10 // rounds between two starts of plain node
	// between two starts of the same function: it has stopped by then.
	startPause = 2*keepAlive + 60*time.Millisecond

	// between an answer and the next start: each is measured alone, as most come.
	startGap = 150 * time.Millisecond

	refillTimeout = 2 * time.Second // that a round waits for the pool

	templateBudget = 45 * time.Minute // of all rounds: a slow machine does fewer
	blankBudget    = 40 * time.Minute
	openBudget     = 3 * time.Minute
)

func startsChapter() chapter {
	return chapter{
		name: "starts", title: "Starts",
		method: `Functions take turns, each start ` + startGap.String() + ` after the answer before, on two platforms one after the other: one with default settings, which forks
templates, and one without templates (` + "`" + flagTemplates + ` 0` + "`" + `), which uses blank processes and code caches. Instances stop ` + keepAlive.String() + `
after their last request, so each request finds none. Every application was started a few times before, so its files
are in the page cache, its code cache is written and its template is ready. Before each round the
pool of blank processes (` + strconv.Itoa(startPool) + ` for each runtime) is at least half full, or ` + refillTimeout.String() + ` have passed; within a round no start waits for the pool, as in real
traffic. The chapters below measure many starts at once. The smallest functions of other runtimes come last: a WSGI application, a web handler, an HTTP server written in Go, and a
WASI command written in Go.

Plain node, among them in the same rounds, is the same function, file for file, loaded by a script of ten lines into ` + "`node:http`" + `
on a unix socket: from the start of the process to the first byte. It runs without a sandbox, without a
platform in front of it, and without middleware. The Next.js application has middleware on the edge runtime in front of every page, which has a
cold start as well: its number includes both.

*Goal* is the target p50 of the engine on two processors.`,
		measure: measureStarts,
	}
}

func openChapter() chapter {
	return chapter{
		name: "open", title: "The price of the sandbox",
		method: `The same functions in the same way on two platforms that take turns, one with its sandbox and one without (` + "`" + flagOpen + "`" + `).
*Price* is the ratio of the medians.`,
		measure: measureOpen,
	}
}

// goals are the p50 to reach by function, in ms, by template and by blank.
func goals() map[string]map[lateen.StartKind]int {
	by := func(template, blank int) map[lateen.StartKind]int {
		return map[lateen.StartKind]int{lateen.StartTemplate: template, lateen.StartBlank: blank}
	}
	return map[string]map[lateen.StartKind]int{
		smallReqRes: by(5, 5), smallFetch: by(5, 5),
		"SvelteKit, page": by(20, 45), "Nuxt, page": by(20, 110), "Next.js, page": by(40, 130),
	}
}

// starter is a function whose starts are measured.
type starter struct {
	name, path string
	site       *site
	err        error

	took   map[lateen.StartKind]sample
	phases map[lateen.StartKind][]startOf
}

// startStage is a platform with all functions deployed.
type startStage struct {
	*platform

	name     string
	starters []*starter
}

// startPlatform starts a platform and deploys everything to it.
func (b *bench) startPlatform(ctx context.Context, name string, flags ...string) (*startStage, error) {
	p, err := b.up(ctx, append([]string{"--keep-alive", keepAlive.String(), "--pool", strconv.Itoa(startPool)}, flags...)...)
	if err != nil {
		return nil, err
	}
	stage := &startStage{platform: p, name: name}
	small, err := p.deploySmall(ctx)
	if err != nil {
		p.stop()
		return nil, err
	}
	add := func(name, path string, s *site, err error) {
		stage.starters = append(stage.starters, &starter{name: name, path: path, site: s, err: err, took: map[lateen.StartKind]sample{}, phases: map[lateen.StartKind][]startOf{}})
	}
	add(smallReqRes, "/reqres", small, nil)
	add(smallFetch, "/fetch", small, nil)
	deployed := map[string]*starter{}
	for _, a := range applications() {
		if _, ok := deployed[a.example]; !ok {
			one := &starter{}
			deployed[a.example] = one
			b.line.say("%s: deploying %s", name, a.example)
			var dir string
			if dir, one.err = b.project(a.example); one.err == nil {
				one.site, one.err = p.deploy(ctx, dir)
			}
		}
		add(a.name, a.path, deployed[a.example].site, deployed[a.example].err)
	}
	for _, f := range foreigners(ctx, b) {
		b.line.say("%s: deploying %s", name, f.project)
		s, err := p.deployForeign(ctx, f)
		add(f.name, "/hello", s, err)
	}
	if err := stage.acquaint(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return stage, nil
}

// acquaint starts each function a few times, so that all is there that makes
// starts cheaper.
func (s *startStage) acquaint(ctx context.Context) error {
	for _, one := range s.starters {
		if one.err == nil {
			one.err = one.site.showStarts(ctx)
		}
	}
	for range 4 {
		for _, one := range s.starters {
			if one.err != nil {
				continue
			}
			s.bench.line.say("%s: first starts of %s", s.name, one.name)
			_, one.err = one.site.get(ctx, one.path, fromElsewhere)
		}
		if err := ignoreNotIdle(s.settle(ctx, 300*time.Millisecond)); err != nil {
			return err
		}
	}
	return pause(ctx, startPause)
}

// fromElsewhere is the header of a visitor that comes from another site, so that the
// order of the functions is not learned as a prediction.
const fromElsewhere = "Accept: text/html\r\nReferer: https://elsewhere.example/\r\n"

// round starts each function once.
func (s *startStage) round(ctx context.Context) error {
	began := time.Now()
	for _, one := range s.starters {
		if one.err != nil {
			continue
		}
		if err := pause(ctx, startGap); err != nil {
			return err
		}
		resp, err := one.site.get(ctx, one.path, fromElsewhere)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			one.err = err
			continue
		}
		start := resp.start()
		one.took[start.kind] = append(one.took[start.kind], resp.first)
		one.phases[start.kind] = append(one.phases[start.kind], start)
	}
	if err := pause(ctx, max(10*time.Millisecond, startPause-time.Since(began))); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, refillTimeout)
	defer cancel()
	if err := s.halfFull(limited); err != nil && limited.Err() == nil {
		return err
	}
	return ctx.Err()
}

// run does rounds until they are done or the time is over, and returns how many.
func (s *startStage) run(ctx context.Context, rounds int, limit time.Duration, beside func(round int)) (int, error) {
	began := time.Now()
	for round := range rounds {
		if time.Since(began) > limit {
			return round, nil
		}
		if round%50 == 0 {
			if err := s.bench.machine.quiet(ctx); err != nil {
				return round, err
			}
		}
		s.bench.line.say("%s: round %d of %d", s.name, round+1, rounds)
		if err := s.round(ctx); err != nil {
			return round, err
		}
		beside(round)
	}
	return rounds, nil
}

func measureStarts(ctx context.Context, b *bench) ([]table, error) {
	alone := map[string]*plain{smallReqRes: b.plainSmall(handlerReqRes), smallFetch: b.plainSmall(handlerFetch)}
	for _, a := range applications() {
		alone[a.name] = b.plainExample(a.example, a.function, a.path)
	}
	names := slices.Sorted(maps.Keys(alone))
	var stages []*startStage
	var notes []string
	for _, tier := range []struct {
		name   string
		budget time.Duration
		flags  []string
	}{{"template", templateBudget, nil}, {"blank", blankBudget, []string{flagTemplates, "0"}}} {
		if len(tier.flags) > 0 && !b.knows(ctx, tier.flags[0]) {
			notes = append(notes, fmt.Sprintf("Not measured by %s alone: %v (%s).", tier.name, errFlag, tier.flags[0]))
			continue
		}
		stage, err := b.startPlatform(ctx, tier.name, tier.flags...)
		if err != nil {
			return nil, err
		}
		done, err := stage.run(ctx, b.times(startRounds), time.Duration(float64(tier.budget)*max(1, b.scale)), func(round int) {
			if round%plainEvery == 0 && tier.name == "template" {
				for _, name := range names {
					alone[name].start(ctx)
				}
			}
		})
		stage.stop()
		if err != nil {
			return nil, err
		}
		if done < b.times(startRounds) {
			notes = append(notes, fmt.Sprintf("The machine was too slow for %d rounds by %s, so there are only %d.", b.times(startRounds), tier.name, done))
		}
		stages = append(stages, stage)
	}
	tables := startTables(stages, alone)
	tables[0].notes = append(tables[0].notes, notes...)
	return tables, nil
}

// startKinds are all kinds of start in the order of tables. Where nothing is to
// be running, a warm one says that something was.
func startKinds() []lateen.StartKind {
	return []lateen.StartKind{
		lateen.StartPrewarmed, lateen.StartTemplate, lateen.StartBlank, lateen.StartCold, lateen.StartThawed, lateen.StartWarm,
	}
}

// startTables are the starts of all functions by kind, each function's followed
// by plain node, and where their time went.
func startTables(stages []*startStage, alone map[string]*plain) []table {
	all := table{
		caption: "To the first byte.", text: 2,
		head: []string{"function", "start", "starts", "min", "p50", "p90", "p99", "max", "goal", "÷ plain node"},
	}
	split := table{
		caption: "Phases: medians. *Rest* is the handler, the edge and the connection, and the middleware if there is one.",
		text:    2, head: []string{"function", "start", "queue", "claim", "load", "rest"},
	}
	for i, first := range stages[0].starters {
		node := alone[first.name]
		if first.err != nil {
			all.fail(first.err, first.name, none)
		}
		for _, g := range gather(stages, i) {
			cells := append([]string{first.name, g.start}, g.took.quantiles()...)
			against := none
			if node != nil {
				against = times(float64(g.took.median()), float64(node.firsts.median()))
			}
			all.add(ours, append(cells, goalText(first.name, g.goal, g.took), against)...)
			split.add(ours, append([]string{first.name, g.start}, phaseCells(g.took, g.phases)...)...)
		}
		switch {
		case node == nil:
		case node.err != nil:
			all.fail(node.err, first.name, "plain node")
		default:
			all.add(peer, append(append([]string{first.name, "plain node"}, node.firsts.quantiles()...), none, none)...)
		}
	}
	return []table{all, split}
}

// group is starts of one function and kind.
type group struct {
	start  string // as tables name it
	goal   lateen.StartKind
	took   sample
	phases []startOf
}

// gather returns the i-th function's starts by kind. The duration of a prewarmed
// start depends on the available processes, so those of the platforms are separate.
func gather(stages []*startStage, i int) []group {
	var groups []group
	for _, kind := range startKinds() {
		all := group{start: string(kind), goal: kind}
		for n, s := range stages {
			one := group{start: all.start, goal: kind, took: s.starters[i].took[kind], phases: s.starters[i].phases[kind]}
			switch {
			case kind == lateen.StartBlank, kind == lateen.StartCold:
				all.took, all.phases = append(all.took, one.took...), append(all.phases, one.phases...)
				continue
			case kind == lateen.StartPrewarmed && n == 0:
				one.goal = lateen.StartTemplate
			case kind == lateen.StartPrewarmed:
				one.goal = lateen.StartBlank
			}
			if n > 0 {
				one.start += ", by " + s.name
			}
			groups = append(groups, one)
		}
		groups = append(groups, all)
	}
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.took) == 0 })
}

// goalText returns the goal for p50, and whether it was met.
func goalText(name string, kind lateen.StartKind, took sample) string {
	goal := goals()[name][kind]
	if goal == 0 {
		return none
	}
	verdict := " missed"
	if took.median() <= time.Duration(goal)*time.Millisecond {
		verdict = " met"
	}
	return strconv.Itoa(goal) + verdict
}

// phaseCells are the medians of where starts spent their time.
func phaseCells(took sample, phases []startOf) []string {
	var queue, claim, load, others sample
	for i, p := range phases {
		queue, claim, load = append(queue, p.queue), append(claim, p.claim), append(load, p.load)
		others = append(others, took[i]-p.queue-p.claim-p.load)
	}
	return []string{ms(queue.median()), ms(claim.median()), ms(load.median()), ms(others.median())}
}

func measureOpen(ctx context.Context, b *bench) ([]table, error) {
	if !b.knows(ctx, flagOpen) {
		return nil, fmt.Errorf("%s: %w", flagOpen, errFlag)
	}
	closed, err := b.startPlatform(ctx, "sandboxed")
	if err != nil {
		return nil, err
	}
	defer closed.stop()
	open, err := b.startPlatform(ctx, "open", flagOpen)
	if err != nil {
		return nil, err
	}
	defer open.stop()
	var failed error
	done, err := closed.run(ctx, b.times(openRounds), time.Duration(float64(openBudget)*max(1, b.scale)), func(int) {
		failed = errors.Join(failed, open.round(ctx))
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	t := table{text: 2, head: []string{"function", "start", "sandbox", "without", "price", "starts", "p99", "p99 without"}}
	for i, one := range closed.starters {
		if err := cmp.Or(one.err, open.starters[i].err); err != nil {
			t.fail(err, one.name, none)
			continue
		}
		for _, kind := range startKinds() {
			with, without := one.took[kind], open.starters[i].took[kind]
			if len(with) == 0 || len(without) == 0 {
				continue
			}
			t.add(ours, one.name, string(kind), ms(with.median()), ms(without.median()), times(float64(with.median()), float64(without.median())),
				strings.Join([]string{strconv.Itoa(len(with)), strconv.Itoa(len(without))}, " and "), ms(with.quantile(0.99)), ms(without.quantile(0.99)))
		}
	}
	if done < b.times(openRounds) {
		t.notes = append(t.notes, fmt.Sprintf("The machine was too slow for %d rounds, so there are only %d.", b.times(openRounds), done))
	}
	return []table{t}, nil
}
