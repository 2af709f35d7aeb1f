package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	freshCopies   = 300
	freshInterval = 150 * time.Millisecond
)

func freshChapter() chapter {
	return chapter{
		name: "fresh", title: "Right after a deployment",
		method: fmt.Sprintf(`%d small functions are deployed. As soon as the deployment is ready, each is asked once, %v apart, while the platform
prepares them: compiles, stores code caches, warms templates. Once that is done and all instances have stopped, each is asked once more
in the same way. The goal is a p50 within 1.3 times and a p99 within 2 times of the later round's.`, freshCopies, freshInterval),
		measure: measureFresh,
	}
}

func measureFresh(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", keepAlive.String())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.waitIdle(ctx); err != nil {
		return nil, err
	}
	if err := b.machine.quiet(ctx); err != nil {
		return nil, err
	}
	n := b.times(freshCopies)
	s, err := p.deployCopies(ctx, "fresh", n, handlerReqRes)
	if err != nil {
		return nil, err
	}
	t := table{head: []string{"asked", "requests", "min", "p50", "p90", "p99", "max", "p50 ÷ later", "p99 ÷ later"}}
	first, kinds, err := s.walk(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ignoreNotIdle(p.waitIdle(ctx)), p.idle(ctx, s), b.machine.quiet(ctx)); err != nil {
		return nil, err
	}
	later, laterKinds, err := s.walk(ctx, n)
	if err != nil {
		return nil, err
	}
	ratio := func(q float64) string { return times(float64(first.quantile(q)), float64(later.quantile(q))) }
	t.add(ours, append(append([]string{"right after the deployment"}, first.quantiles()...), ratio(0.5), ratio(0.99))...)
	t.add(ours, append(append([]string{"later"}, later.quantiles()...), none, none)...)
	t.notes = append(t.notes, fmt.Sprintf("Starts: %s right after it; %s later.", kindsText(kinds), kindsText(laterKinds)))
	return []table{t}, nil
}

// walk asks each of a site's n copies once, freshInterval apart, and returns the
// times to the first byte and the kinds of starts.
func (s *site) walk(ctx context.Context, n int) (sample, map[lateen.StartKind]int, error) {
	took, kinds := sample{}, map[lateen.StartKind]int{}
	for i := range n {
		if i%20 == 0 {
			s.platform.bench.line.say("function %d of %d", i, n)
		}
		next := time.Now().Add(freshInterval)
		resp, err := s.get(ctx, copyPath(i), "")
		if err != nil {
			return nil, nil, err
		}
		took = append(took, resp.first)
		kinds[resp.start().kind]++
		if err := pause(ctx, time.Until(next)); err != nil {
			return nil, nil, err
		}
	}
	return took, kinds, nil
}
