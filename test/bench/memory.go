package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func memoryChapter() chapter {
	return chapter{
		name: "memory", title: "Memory",
		method: `From ` + "`/proc/PID/smaps_rollup`" + `. RSS is what is resident; PSS divides what processes share (the Node.js binary) among them,
so that a sum of it is what is really used. What a running function costs is the growth of the sum over all processes from before
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
	for _, pid := range tree(p.cmd.Process.Pid) {
		rss, pss := resident(pid)
		if pid == p.cmd.Process.Pid {
			u.rss, u.pss = rss, pss
			continue
		}
		u.others = append(u.others, pss)
	}
	return u
}

func (u usage) sum() int64 {
	sum := u.pss
	for _, n := range u.others {
		sum += n
	}
	return sum
}

func measureMemory(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	b.line.say("at rest")
	if err := p.rest(ctx); err != nil {
		return nil, err
	}
	idle := p.usage()
	s, err := p.deploySmall(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.rest(ctx); err != nil {
		return nil, err
	}
	before := p.usage()
	for i := range copies {
		b.line.say("function %d of %d", i+1, copies)
		if _, err := s.get(ctx, fmt.Sprintf("/copy/%d", i), ""); err != nil {
			return nil, err
		}
		p.blank++
		if err := p.settle(ctx, rest); err != nil {
			return nil, err
		}
	}
	after := p.usage()
	t := table{head: []string{"what", "MiB", "measured"}}
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
	rss, pss := resident(node.process.cmd.Process.Pid)
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
