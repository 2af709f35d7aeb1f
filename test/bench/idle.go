package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/test/bench/proc"
)

const (
	thawRounds = 20
	thawCopies = 50
	thawPause  = 2500 * time.Millisecond // between two requests for the same function: it is frozen by then

	refillPool   = 16
	refillRounds = 5
)

func overheadChapter() chapter {
	return chapter{
		name: "warm", title: "Warm functions",
		method: `The overhead of Lateen for a running function, with its sandbox and without: the smallest ` + "`(req, res)`" + ` function through
Lateen's listener (host, routes, fleet, unix socket, agent, record of the request), against the same file on the same Node.js behind
` + "`node:http`" + ` on a TCP port, called directly. One instance of the function, ` + "`wrk -t1`" + ` with persistent connections, five rounds of two
seconds in turns, medians of them. The goal is 0.150 ms at p50 with one connection.`,
		measure: measureOverhead,
	}
}

func measureOverhead(ctx context.Context, b *bench) ([]table, error) {
	targets := []*target{}
	add := func(name string, flags ...string) error {
		p, err := b.up(ctx, flags...)
		if err != nil {
			return err
		}
		t := &target{name: name, addr: p.addr, kind: ours, process: p.process}
		targets = append(targets, t)
		s, err := p.deploySmall(ctx)
		if err != nil {
			return err
		}
		t.host = s.host
		for range 300 { // optimised code
			if _, err := s.get(ctx, "/reqres", ""); err != nil {
				return err
			}
		}
		return ignoreNotIdle(p.waitIdle(ctx))
	}
	defer func() {
		for _, t := range targets {
			t.process.stop()
		}
	}()
	if err := add("Lateen"); err != nil {
		return nil, err
	}
	if b.knows(ctx, flagOpen) {
		if err := add("Lateen, no sandbox", flagOpen); err != nil {
			return nil, err
		}
	}
	node := b.directNode(ctx)
	targets = append(targets, node)
	aims := []aim{{"/reqres", "", 1, 2}, {"/reqres", "", 32, 2}}
	loads, err := b.compare(ctx, targets, aims, b.times(5))
	if err != nil {
		return nil, err
	}
	t := comparisonTable(targets, aims, loads)
	if targets[0].err == nil && node.err == nil {
		one, last := loads[0], len(targets)-1
		t.notes = append(t.notes, fmt.Sprintf("At one connection Lateen adds %s ms at p50 and %s ms at p99. The CPU of Lateen includes that of the function.",
			ms(one[0].p50-one[last].p50), ms(one[0].p99-one[last].p99)))
	}
	return []table{t}, nil
}

func thawChapter() chapter {
	return chapter{
		name: "thaw", title: "Thawing",
		method: fmt.Sprintf(`%d small functions are called in turns, each %s after its last request, with the default keep-alive: by then an idle instance
is frozen. Right after each such request the same function is called once more, while it runs. The goal is a thaw in under 2 ms.`, thawCopies, thawPause),
		measure: measureThaw,
	}
}

func measureThaw(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	s, err := p.deployCopies(ctx, "thaw", thawCopies, handlerReqRes)
	if err != nil {
		return nil, err
	}
	took, claims := map[lateen.StartKind]sample{}, sample{}
	for round := range b.times(thawRounds) + 1 {
		b.line.say("round %d", round)
		for i := range thawCopies {
			began := time.Now()
			for range 2 {
				resp, err := s.get(ctx, copyPath(i), "")
				if err != nil {
					return nil, err
				}
				if round == 0 {
					continue
				}
				start := resp.start()
				took[start.kind] = append(took[start.kind], resp.first)
				if start.kind == lateen.StartThawed {
					claims = append(claims, start.claim)
				}
			}
			if err := pause(ctx, thawPause/thawCopies-time.Since(began)); err != nil {
				return nil, err
			}
		}
	}
	t := table{head: []string{"start", "requests", "min", "p50", "p90", "p99", "max"}}
	for _, kind := range startKinds() {
		if len(took[kind]) > 0 {
			t.add(ours, append([]string{string(kind)}, took[kind].quantiles()...)...)
		}
	}
	if len(claims) > 0 {
		t.notes = append(t.notes, fmt.Sprintf("Of it, the thaw itself: p50 %s, p99 %s, max %s (in steps of 0.1).", ms(claims.median()), ms(claims.quantile(0.99)), ms(claims.quantile(1))))
	} else {
		t.notes = append(t.notes, "No instance was frozen: this host or this build does not freeze.")
	}
	return []table{t}, nil
}

func refillChapter() chapter {
	return chapter{
		name: "refill", title: "Refilling the pool of blank processes",
		method: fmt.Sprintf(`A platform that keeps %d blank processes (`+"`--pool %[1]d`"+`) is asked for %[1]d idle functions at the same moment, which takes them all. Measured from then on
until the pool has its target size, by the platform's own metrics; the platform waits a moment
before it boots the first process, to not slow down the requests. CPU is that of all processes of the platform during that time.`, refillPool),
		measure: measureRefill,
	}
}

func measureRefill(ctx context.Context, b *bench) ([]table, error) {
	flags := []string{"--pool", strconv.Itoa(refillPool), "--keep-alive", "10m"}
	if b.knows(ctx, flagTemplates) {
		flags = append(flags, flagTemplates, "0")
	}
	p, err := b.up(ctx, flags...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	rounds := b.times(refillRounds)
	s, err := p.deployCopies(ctx, "refill", rounds*refillPool, handlerReqRes)
	if err != nil {
		return nil, err
	}
	if err := ignoreNotIdle(p.waitIdle(ctx)); err != nil {
		return nil, err
	}
	var all, each, cpus sample
	results := burst{}
	for round := range rounds {
		b.line.say("round %d of %d", round+1, rounds)
		if _, err := p.refilled(ctx); err != nil {
			return nil, err
		}
		if err := errors.Join(ignoreNotIdle(p.settle(ctx, 100*time.Millisecond)), b.machine.quiet(ctx)); err != nil {
			return nil, err
		}
		var requests []request
		for i := range refillPool {
			requests = append(requests, request{host: s.host, path: copyPath(round*refillPool + i)})
		}
		before := proc.CPU(p.cmd.Process.Pid)
		results.add(together(ctx, p.addr, requests))
		began := time.Now()
		left, err := p.blanks(ctx)
		if err != nil {
			return nil, err
		}
		full, err := p.refilled(ctx)
		if err != nil {
			return nil, err
		}
		took, booted := time.Since(began), max(1, full.ready-left.ready)
		all, each = append(all, took), append(each, took/time.Duration(booted))
		cpus = append(cpus, (proc.CPU(p.cmd.Process.Pid)-before)/time.Duration(booted))
	}
	t := table{head: []string{"quantity", "min", "median", "max", "times"}}
	row := func(name string, s sample) {
		t.add(ours, name, ms(s.quantile(0)), ms(s.median()), ms(s.quantile(1)), strconv.Itoa(len(s)))
	}
	row("until the pool is full again", all)
	row("for each process", each)
	row("CPU of one start and its replacement", cpus)
	t.notes = append(t.notes, fmt.Sprintf("%.1f processes a second. The requests that emptied it: p50 %s, p99 %s; %s.", 1/each.median().Seconds(), ms(results.took.median()), ms(results.took.quantile(0.99)), kindsText(results.kinds)))
	return []table{t}, results.failed
}
