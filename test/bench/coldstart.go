package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/test/bench/proc"
)

const (
	keepAlive  = 100 * time.Millisecond // of instances, so that each request finds none
	idleWindow = 20 * time.Millisecond  // idle time of the platform before a start

	coldBudget = 6 * time.Minute // of all rounds: a slow machine does fewer
)

func coldChapter() chapter {
	return chapter{
		name: "coldstart", title: "Cold starts",
		method: `From a request at the public listener, on a connection that is open, to the first byte of the response,
while no instance of the function runs. Instances stop ` + keepAlive.String() + ` after their last request; before each request all of them are
gone, the pool of blank processes is full, and no process of the platform has used CPU time for ` + idleWindow.String() + `. Applications take
turns, round by round. Each application had one start that is not counted, so its files are in the page cache.

Plain node, among them in the same rounds, is the same function, file for file, loaded by a script of ten lines into ` + "`node:http`" + `
on a unix socket: from the start of the process, which reports that it listens, to the first byte. It runs as root, without a sandbox,
without a platform in front of it and without middleware.

The kind of each start is read from the platform's own record of the request: *blank* took a process of the
pool, *cold* booted one for the request (here: ` + "`--pool 0`" + `). The Next.js application has middleware on the edge runtime in front of
every page, which has a cold start as well: the time includes both.`,
		measure: measureCold,
	}
}

// subject is a function whose starts are measured.
type subject struct {
	name   string
	path   string
	every  int // rounds between two starts; 0 is each round
	starts int // in one round; 0 is 1
	site   *site
	err    error

	firsts, lasts []time.Duration
	records       []*lateen.Record
}

// application is an example's function and a path that it answers.
type application struct{ name, example, function, path string }

func applications() []application {
	return []application{
		{"Hono, page", "hono", "index", "/"},
		{"SvelteKit, page", "sveltekit", "ssr", "/ssr"},
		{"Nuxt, page", "nuxt", "__fallback", "/ssr"},
		{"Astro, page", "astro", "_render", "/ssr"},
		{"Next.js, page", "nextjs", "dynamic", "/dynamic"},
		{"Next.js, API route", "nextjs", "api/hello", "/api/hello"},
	}
}

// The names of the smallest functions.
const (
	smallReqRes = "small function, (req, res)"
	smallFetch  = "small function, fetch"
)

// thrice is the number of rounds between starts of the slow functions that are only
// compared with.
const thrice = 3

func measureCold(ctx context.Context, b *bench) ([]table, error) {
	rounds := b.times(60)
	pooled, err := b.coldPlatform(ctx, 5)
	if err != nil {
		return nil, err
	}
	defer pooled.stop()
	bare, err := b.coldPlatform(ctx, 1, "--pool", "0")
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	for _, s := range bare.subjects[2:] {
		s.every = thrice
	}
	alone := map[string]*plain{smallReqRes: b.plainSmall(handlerReqRes), smallFetch: b.plainSmall(handlerFetch)}
	for _, a := range applications() {
		alone[a.name] = b.plainExample(a.example, a.function, a.path)
	}
	limit := time.Duration(float64(coldBudget) * max(1, b.scale))
	done, began := 0, time.Now()
	for round := range rounds {
		if time.Since(began) > limit {
			break
		}
		done++
		b.line.say("round %d of %d", round+1, rounds)
		if err := b.machine.quiet(ctx); err != nil {
			return nil, err
		}
		if err := errors.Join(pooled.round(ctx, round), bare.round(ctx, round)); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(alone)) {
			if name == smallReqRes || round%thrice == 0 {
				alone[name].start(ctx)
			}
		}
	}
	b.line.say("reading the records")
	if err := errors.Join(pooled.readRecords(ctx), bare.readRecords(ctx)); err != nil {
		return nil, err
	}
	tables := coldTables(pooled, bare, alone)
	if done < rounds {
		tables[0].notes = append(tables[0].notes, fmt.Sprintf("The machine was too slow for %d rounds, so there are only %d.", rounds, done))
	}
	return tables, nil
}

// coldStage is a platform with everything deployed.
type coldStage struct {
	*platform

	subjects []*subject
	notIdle  int // starts while the platform was not idle
}

// coldPlatform starts a platform and deploys all subjects to it. The smallest
// function is to be started so many times in a round.
func (b *bench) coldPlatform(ctx context.Context, small int, flags ...string) (*coldStage, error) {
	p, err := b.up(ctx, append([]string{"--keep-alive", keepAlive.String()}, flags...)...)
	if err != nil {
		return nil, err
	}
	stage := &coldStage{platform: p}
	b.line.say("deploying the smallest functions")
	s, err := p.deploySmall(ctx)
	if err != nil {
		p.stop()
		return nil, err
	}
	stage.subjects = append(stage.subjects,
		&subject{name: smallReqRes, path: "/reqres", site: s, starts: small},
		&subject{name: smallFetch, path: "/fetch", site: s})
	sites := map[string]*subject{}
	for _, a := range applications() {
		one, ok := sites[a.example]
		if !ok {
			one = &subject{}
			sites[a.example] = one
			b.line.say("deploying %s", a.example)
			var dir string
			if dir, one.err = b.project(a.example); one.err == nil {
				one.site, one.err = p.deploy(ctx, dir)
			}
		}
		stage.subjects = append(stage.subjects, &subject{name: a.name, path: a.path, site: one.site, err: one.err})
	}
	for _, s := range stage.subjects {
		if s.err == nil {
			b.line.say("first start of %s", s.name)
			_, s.err = s.site.get(ctx, s.path, "Accept: text/html\r\n")
		}
	}
	if err := pause(ctx, 2*keepAlive); err != nil {
		p.stop()
		return nil, err
	}
	if err := p.waitIdle(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return stage, nil
}

// round starts each subject whose turn it is.
func (c *coldStage) round(ctx context.Context, round int) error {
	for _, s := range c.subjects {
		if s.err != nil || s.every > 0 && round%s.every != 0 {
			continue
		}
		for range max(1, s.starts) {
			if err := c.waitSettled(ctx); err != nil {
				return err
			}
			resp, err := s.site.get(ctx, s.path, "Accept: text/html\r\n")
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				s.err = err
				break
			}
			s.firsts, s.lasts = append(s.firsts, resp.first), append(s.lasts, resp.last)
			s.records = append(s.records, &lateen.Record{ID: resp.requestID()})
			if err := pause(ctx, keepAlive+idleWindow); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitSettled waits until the platform is idle. A start on a platform that does not
// become idle is counted, and measured like the others.
func (c *coldStage) waitSettled(ctx context.Context) error {
	err := c.settle(ctx, idleWindow)
	if errors.Is(err, errNotIdle) {
		c.notIdle++
		c.blank = len(proc.Tree(c.cmd.Process.Pid))
		return nil
	}
	return err
}

// readRecords fills in the platform's record of each start.
func (c *coldStage) readRecords(ctx context.Context) error {
	for _, s := range c.subjects {
		for i, r := range s.records {
			noted, err := s.site.record(ctx, r.ID)
			if err != nil {
				return err
			}
			if noted.Invocation == nil {
				return fmt.Errorf("%s: no function answered request %s", s.name, r.ID)
			}
			s.records[i] = noted
		}
	}
	return nil
}

// of returns the subject's first bytes, last bytes and records of starts of a kind.
func (s *subject) of(kind lateen.StartKind) (firsts, lasts sample, records []*lateen.Record) {
	for i, r := range s.records {
		if r.Invocation.Start == kind {
			firsts, lasts, records = append(firsts, s.firsts[i]), append(lasts, s.lasts[i]), append(records, r)
		}
	}
	return firsts, lasts, records
}

// coldTables are the starts of all subjects, each followed by plain node, and
// where their time went.
func coldTables(pooled, bare *coldStage, alone map[string]*plain) []table {
	all := table{
		caption: "To the first byte. *Last* is the median to the last byte.", text: 2,
		head: []string{"function", "start", "starts", "min", "p50", "p90", "p99", "max", "last", "÷ plain node"},
	}
	split := table{
		caption: "Phases: medians, from the platform's records. *Middleware* includes its start; *other* is the edge, the connection and the time between the other phases.",
		head:    []string{"function", "start", "middleware", "queue", "claim", "load", "handler", "other"}, text: 2,
	}
	for i, s := range pooled.subjects {
		node := alone[s.name]
		for _, s := range []*subject{s, bare.subjects[i]} {
			if s.err != nil {
				all.fail(s.err, s.name, none)
			}
			for _, kind := range []lateen.StartKind{lateen.StartBlank, lateen.StartCold, lateen.StartWarm} {
				firsts, lasts, records := s.of(kind)
				if len(firsts) == 0 {
					continue
				}
				cells := append([]string{s.name, string(kind)}, firsts.quantiles()...)
				all.add(ours, append(cells, ms(lasts.median()), times(float64(firsts.median()), float64(node.firsts.median())))...)
				split.add(ours, append([]string{s.name, string(kind)}, phases(firsts, records)...)...)
			}
		}
		if node.err != nil {
			all.fail(node.err, s.name, "plain node")
		} else {
			all.add(peer, append(append([]string{s.name, "plain node"}, node.firsts.quantiles()...), none, none)...)
		}
	}
	if n := pooled.notIdle + bare.notIdle; n > 0 {
		all.notes = append(all.notes, fmt.Sprintf("Before %d of the starts the platform did not become idle.", n))
	}
	return []table{all, split}
}

// phases are the medians of where starts spent their time.
func phases(firsts sample, records []*lateen.Record) []string {
	var middleware, queue, claim, load, handler, others sample
	for i, r := range records {
		inv := r.Invocation
		var before time.Duration
		if m := r.Middleware; m != nil {
			before = m.Queue + m.Claim + m.Load + m.Handler
		}
		middleware = append(middleware, before)
		queue, claim, load, handler = append(queue, inv.Queue), append(claim, inv.Claim), append(load, inv.Load), append(handler, inv.Handler)
		others = append(others, firsts[i]-before-inv.Queue-inv.Claim-inv.Load-inv.Handler)
	}
	var cells []string
	for _, s := range []sample{middleware, queue, claim, load, handler, others} {
		cells = append(cells, ms(s.median()))
	}
	return cells
}
