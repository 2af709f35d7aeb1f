package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/test/bench/proc"
)

func memoryChapter() chapter {
	return chapter{
		name: "memory", title: "Memory",
		method: `From ` + "`/proc/PID/smaps_rollup`" + `. RSS is resident memory; PSS divides shared pages (the Node.js binary) between processes,
so that its sum is the real usage. The cost of a running function is the growth of the sum over all processes from before
` + strconv.Itoa(copies) + ` small functions were started, with the pool of blank processes full both times, divided by their number.`,
		measure: measureMemory,
	}
}

// usage is the memory of a platform.
type usage struct {
	rss, pss int64   // of lateen itself
	others   []int64 // PSS of each other process
}

func (p *platform) usage() usage {
	var u usage
	for _, pid := range proc.Tree(p.cmd.Process.Pid) {
		rss, pss := proc.Resident(pid)
		if pid == p.cmd.Process.Pid {
			u.rss, u.pss = rss, pss
			continue
		}
		u.others = append(u.others, pss)
	}
	return u
}

// full is the memory of a idle platform with its pool of blank processes full.
func (p *platform) full(ctx context.Context) (usage, error) {
	if _, err := p.refilled(ctx); err != nil {
		return usage{}, err
	}
	err := p.waitIdle(ctx)
	return p.usage(), err
}

func (u usage) sum() int64 {
	sum := u.pss
	for _, n := range u.others {
		sum += n
	}
	return sum
}

func measureMemory(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", "10m") // none stops while others get requests
	if err != nil {
		return nil, err
	}
	defer p.stop()
	b.line.say("idle")
	idle, err := p.full(ctx)
	if err != nil {
		return nil, err
	}
	s, err := p.deploySmall(ctx)
	if err != nil {
		return nil, err
	}
	before, err := p.full(ctx)
	if err != nil {
		return nil, err
	}
	for i := range copies {
		b.line.say("function %d of %d", i+1, copies)
		if _, err := s.get(ctx, fmt.Sprintf("/copy/%d", i), ""); err != nil {
			return nil, err
		}
	}
	after, err := p.full(ctx)
	if err != nil {
		return nil, err
	}
	if n, err := s.instances(ctx); err != nil || n != copies {
		return nil, errors.Join(err, fmt.Errorf("%d functions run, not %d", n, copies))
	}
	t := table{head: []string{"quantity", "MiB", "measured"}}
	t.add(ours, "lateen, just started, RSS", mib(idle.rss), "1")
	t.add(ours, fmt.Sprintf("lateen with a deployment and %d functions running, RSS", copies), mib(after.rss), "1")
	t.add(ours, "a blank process, PSS, median", mib(median(idle.others)), strconv.Itoa(len(idle.others)))
	t.add(ours, "everything, just started, PSS", mib(idle.sum()), strconv.Itoa(1+len(idle.others)))
	t.add(ours, "a running small function, growth of the whole", mib((after.sum()-before.sum())/copies), strconv.Itoa(copies))
	node := b.directNode(ctx)
	defer node.process.stop()
	if node.err != nil {
		t.fail(node.err, "the same function on Node.js alone")
		return []table{t}, nil
	}
	if _, err := send(ctx, node.addr, request{host: node.host, path: "/"}); err != nil {
		return []table{t}, err
	}
	rss, pss := proc.Resident(node.process.cmd.Process.Pid)
	t.add(peer, "the same function on Node.js alone, PSS", mib(pss), "1")
	t.add(peer, "the same function on Node.js alone, RSS", mib(rss), "1")
	t.notes = append(t.notes, fmt.Sprintf("Processes besides lateen, just started, MiB of PSS each: %s.", list(idle.others)))
	return []table{t}, nil
}

// list is amounts of memory in a line.
func list(amounts []int64) string {
	texts := make([]string, 0, len(amounts))
	for _, n := range slices.Sorted(slices.Values(amounts)) {
		texts = append(texts, mib(n))
	}
	return strings.Join(texts, ", ")
}
