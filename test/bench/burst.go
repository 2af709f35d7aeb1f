package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	hundred       = 100
	hundredRounds = 10
	burstSize     = 500
	burstRounds   = 10
	tenants       = 10 // projects that the hundred functions belong to
	// burstKeepAlive is longer than a round: none stops while others start.
	burstKeepAlive = 3 * time.Second
)

func hundredChapter() chapter {
	return chapter{
		name: "hundred", title: "A hundred idle functions at once",
		method: fmt.Sprintf(`%d small functions of %d projects, none of which has an instance, get a request at the same moment, each over an
open connection of its own. Instances stop %v after their answer; then again.`, hundred, tenants, burstKeepAlive),
		measure: measureHundred,
	}
}

func burstChapter() chapter {
	return chapter{
		name: "burst", title: "A burst on one idle function",
		method: fmt.Sprintf(`%d requests at the same moment, each over an open connection of its own, for one small function without
an instance. *Instances* is their number afterwards: such a burst needs one or a few, not %[1]d.`, burstSize),
		measure: measureBurst,
	}
}

// outcome is the result of one of many requests.
type outcome struct {
	took  time.Duration
	start startOf
	err   error
}

// together sends requests in the same moment, each over a connection that is
// open before, and waits for all.
func together(ctx context.Context, addr string, requests []request) []outcome {
	out := make([]outcome, len(requests))
	ready, begin := sync.WaitGroup{}, make(chan struct{})
	var done sync.WaitGroup
	for i, r := range requests {
		ready.Add(1)
		done.Go(func() {
			conn, err := connect(ctx, addr)
			ready.Done()
			if err != nil {
				out[i].err = err
				return
			}
			defer conn.Close()
			<-begin
			resp, err := ask(conn, r)
			if err == nil && resp.status != http.StatusOK {
				err = fmt.Errorf("%s%s answers %d (%s)", r.host, r.path, resp.status, resp.header.Get("X-Vercel-Error"))
			}
			if out[i].err = err; err == nil {
				out[i].took, out[i].start = resp.first, resp.start()
			}
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return out
}

// burst is the results of several rounds of many requests.
type burst struct {
	took     sample
	worst    time.Duration // p95 of the worst round
	kinds    map[lateen.StartKind]int
	failures int
	failed   error // the last
}

func (c *burst) add(outcomes []outcome) {
	if c.kinds == nil {
		c.kinds = map[lateen.StartKind]int{}
	}
	var took sample
	for _, o := range outcomes {
		if o.err != nil {
			c.failures++
			c.failed = o.err
			continue
		}
		took = append(took, o.took)
		c.kinds[o.start.kind]++
	}
	c.took = append(c.took, took...)
	c.worst = max(c.worst, took.quantile(0.95))
}

// cells are: requests, failed, p50, p95, p99, max, worst p95.
func (c *burst) cells() []string {
	return []string{
		strconv.Itoa(len(c.took) + c.failures), strconv.Itoa(c.failures), ms(c.took.median()), ms(c.took.quantile(0.95)),
		ms(c.took.quantile(0.99)), ms(c.took.quantile(1)), ms(c.worst),
	}
}

func burstHead(first ...string) []string {
	return append(first, "requests", "failed", "p50", "p95", "p99", "max", "worst round's p95")
}

// kindsText counts requests by their start: 100 blank, 400 warm.
func kindsText(kinds map[lateen.StartKind]int) string {
	var words []string
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), func(a, b lateen.StartKind) int { return kinds[b] - kinds[a] }) {
		name := string(kind)
		if name == "" {
			name = "unknown"
		}
		words = append(words, strconv.Itoa(kinds[kind])+" "+name)
	}
	return strings.Join(words, ", ")
}

func measureHundred(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", burstKeepAlive.String())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var sites []*site
	var requests []request
	for i := range tenants {
		b.line.say("project %d of %d", i+1, tenants)
		s, err := p.deployCopies(ctx, fmt.Sprintf("tenant-%d", i), hundred/tenants, handlerReqRes)
		if err != nil {
			return nil, err
		}
		sites = append(sites, s)
		for j := range hundred / tenants {
			requests = append(requests, request{host: s.host, path: copyPath(j)})
		}
	}
	if err := ignoreNotIdle(p.waitIdle(ctx)); err != nil {
		return nil, err
	}
	first, more := burst{}, burst{}
	for round := range b.times(hundredRounds) + 1 {
		b.line.say("round %d", round)
		if err := b.machine.quiet(ctx); err != nil {
			return nil, err
		}
		outcomes := together(ctx, p.addr, requests)
		if round == 0 {
			first.add(outcomes)
		} else {
			more.add(outcomes)
		}
		if err := ignoreNotIdle(p.idle(ctx, sites...)); err != nil {
			return nil, err
		}
		if _, err := p.refilled(ctx); ignoreNotIdle(err) != nil {
			return nil, err
		}
	}
	t := table{head: burstHead("round")}
	t.add(ours, append([]string{"the first: nothing foretold it"}, first.cells()...)...)
	t.add(ours, append([]string{fmt.Sprintf("%d more", b.times(hundredRounds))}, more.cells()...)...)
	t.notes = append(t.notes, fmt.Sprintf("Starts: %s at first; %s later. The goal is a p95 of 1500 ms and no failure.", kindsText(first.kinds), kindsText(more.kinds)))
	return []table{t}, errors.Join(first.failed, more.failed)
}

func measureBurst(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", keepAlive.String())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	t := table{head: append(burstHead("function"), "instances")}
	var failed error
	for _, one := range []struct{ name, handler string }{
		{"answers at once", handlerReqRes},
		{"waits 20 ms for another", "export default (req, res) => setTimeout(() => res.end(\"hello\\n\"), 20);\n"},
		{"computes for 5 ms", "export default (req, res) => { const end = Date.now() + 5; while (Date.now() < end); res.end(\"hello\\n\"); };\n"},
	} {
		s, err := p.deployCopies(ctx, strings.ReplaceAll(one.name, " ", "-"), 1, one.handler)
		if err != nil {
			return nil, err
		}
		requests := slices.Repeat([]request{{host: s.host, path: copyPath(0)}}, burstSize)
		all, counts := burst{}, []int{}
		for round := range b.times(burstRounds) {
			b.line.say("%s, round %d", one.name, round+1)
			if err := errors.Join(ignoreNotIdle(p.idle(ctx, s)), b.machine.quiet(ctx)); err != nil {
				return nil, err
			}
			all.add(together(ctx, p.addr, requests))
			n, err := s.instances(ctx)
			if err != nil {
				return nil, err
			}
			counts = append(counts, n)
		}
		failed = errors.Join(failed, all.failed)
		t.add(ours, append(append([]string{one.name}, all.cells()...), fmt.Sprintf("%d to %d", least(counts), most(counts)))...)
		t.notes = append(t.notes, fmt.Sprintf("%s: %s.", one.name, kindsText(all.kinds)))
	}
	return []table{t}, failed
}
