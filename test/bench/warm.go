package main

import (
	"context"
	"fmt"
	"path/filepath"
)

func warmChapter() chapter {
	return chapter{
		name: "warm", title: "Warm functions",
		method: `The overhead of Lateen for a running function: the smallest ` + "`(req, res)`" + ` function through Lateen's listener (host,
routes, fleet, unix socket, agent, record of the request), against the same file on the same Node.js behind
` + "`node:http`" + ` on a TCP port, called directly. One instance of the function, ` + "`wrk -t1`" + ` with persistent connections, five rounds of two
seconds in turns, medians of them. One processor is Node's in both cases; at 32 connections the other one is shared by
Lateen and wrk.`,
		measure: measureWarm,
	}
}

func measureWarm(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	s, err := p.deploySmall(ctx)
	if err != nil {
		return nil, err
	}
	node := b.directNode(ctx)
	defer node.process.stop()
	targets := []*target{{name: "Lateen", addr: p.addr, host: s.host, kind: ours, process: p.process}, node}
	aims := []aim{{"/reqres", "", 1, 2}, {"/reqres", "", 32, 2}}
	for _, path := range []string{"/reqres", "/fetch"} {
		for range 200 { // optimised code
			if _, err := s.get(ctx, path, ""); err != nil {
				return nil, err
			}
		}
	}
	if err := p.waitIdle(ctx); err != nil {
		return nil, err
	}
	loads, err := b.compare(ctx, targets, aims, b.times(5))
	if err != nil {
		return nil, err
	}
	t := comparisonTable(targets, aims, loads)
	t.caption = "A `(req, res)` function."
	if targets[0].err == nil && targets[1].err == nil {
		one := loads[0]
		t.notes = append(t.notes, fmt.Sprintf("At one connection Lateen adds %s ms at p50 and %s ms at p99. The CPU of Lateen includes that of the function.",
			ms(one[0].p50-one[1].p50), ms(one[0].p99-one[1].p99)))
	}
	web := []*target{targets[0]}
	webAims := []aim{{"/fetch", "", 1, 2}, {"/fetch", "", 32, 2}}
	webLoads, err := b.compare(ctx, web, webAims, b.times(2))
	if err != nil {
		return []table{t}, err
	}
	w := comparisonTable(web, webAims, webLoads)
	w.caption = "The same as a web handler, `fetch(Request)`: `node:http` alone has no such thing to compare with."
	return []table{t, w}, nil
}

// deploySmall deploys the smallest functions, /reqres and /fetch, and copies of
// the first under /copy/0 to /copy/7.
func (p *platform) deploySmall(ctx context.Context) (*site, error) {
	files := map[string]string{}
	function(files, "reqres", handlerReqRes)
	function(files, "fetch", handlerFetch)
	for i := range copies {
		function(files, fmt.Sprintf("copy/%d", i), handlerReqRes)
	}
	dir := filepath.Join(p.dir, "small")
	if err := output(dir, files); err != nil {
		return nil, err
	}
	return p.deploy(ctx, dir)
}

// copies is how many further functions deploySmall makes.
const copies = 8
