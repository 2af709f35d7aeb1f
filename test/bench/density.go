package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	smallInstances = 60
	appInstances   = 8
	restedFor      = 8 * time.Second // after the last request: what can be frozen and reclaimed is
)

func densityChapter() chapter {
	return chapter{
		name: "density", title: "Instances in memory",
		method: fmt.Sprintf(`From `+"`/proc/PID/smaps_rollup`"+`: PSS divides what processes share among them, so that a sum of it is what is really used. What an
instance costs is the growth of the sum over all processes of the platform, from before so many functions were started until after, with the
pool of blank processes full both times, divided by their number; *at rest* is the same %s after the last request. A template that
was made meanwhile is in the number: each of the applications is a project of its own, with one instance.`, restedFor),
		measure: measureDensity,
	}
}

// crew is functions to be started beside each other.
type crew struct {
	sites []*site
	paths []string
}

func measureDensity(ctx context.Context, b *bench) ([]table, error) {
	t := table{text: 1, head: []string{"function", "instances", "MiB each", "MiB each at rest", "per GiB", "per GiB at rest", "starts"}}
	crews := []struct {
		name string
		n    int
		make func(ctx context.Context, p *platform, n int) (*crew, error)
	}{
		{smallReqRes, smallInstances, smallCrew},
		{"SvelteKit, page", appInstances, exampleCrew("sveltekit", "/ssr")},
		{"Next.js, page", appInstances, exampleCrew("nextjs", "/dynamic")},
	}
	for _, one := range crews {
		p, err := b.up(ctx, "--keep-alive", "10m")
		if err != nil {
			return nil, err
		}
		cells, err := p.density(ctx, one.n, one.make)
		p.stop()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			t.fail(err, one.name)
		default:
			t.add(ours, append([]string{one.name}, cells...)...)
		}
	}
	return []table{t}, nil
}

func smallCrew(ctx context.Context, p *platform, n int) (*crew, error) {
	s, err := p.deployCopies(ctx, "small", n, handlerReqRes)
	c := &crew{}
	for i := range n {
		c.sites, c.paths = append(c.sites, s), append(c.paths, copyPath(i))
	}
	return c, err
}

func exampleCrew(example, path string) func(ctx context.Context, p *platform, n int) (*crew, error) {
	return func(ctx context.Context, p *platform, n int) (*crew, error) {
		c := &crew{}
		for i := range n {
			p.bench.line.say("deploying %s %d of %d", example, i+1, n)
			dir, err := p.bench.projectAs(example, fmt.Sprintf("%s-%d", example, i))
			if err != nil {
				return nil, err
			}
			s, err := p.deploy(ctx, dir)
			if err != nil {
				return nil, err
			}
			if err := s.showStarts(ctx); err != nil {
				return nil, err
			}
			c.sites, c.paths = append(c.sites, s), append(c.paths, path)
		}
		return c, nil
	}
}

// density starts a crew and returns the cells of what it costs.
func (p *platform) density(ctx context.Context, n int, muster func(ctx context.Context, p *platform, n int) (*crew, error)) ([]string, error) {
	c, err := muster(ctx, p, n)
	if err != nil {
		return nil, err
	}
	if err := ignoreRestless(p.rest(ctx)); err != nil {
		return nil, err
	}
	before := p.usage().sum()
	kinds := map[lateen.StartKind]int{}
	for i, s := range c.sites {
		p.bench.line.say("starting %d of %d", i+1, n)
		for range 3 { // the first starts it, the others find it
			resp, err := s.get(ctx, c.paths[i], fromElsewhere)
			if err != nil {
				return nil, err
			}
			if kind := resp.start().kind; kind != lateen.StartWarm {
				kinds[kind]++
			}
		}
	}
	p.blank = 0 // there are more now
	began := time.Now()
	if err := ignoreRestless(p.settle(ctx, 400*time.Millisecond)); err != nil {
		return nil, err
	}
	running := (p.usage().sum() - before) / int64(n)
	if err := pause(ctx, restedFor-time.Since(began)); err != nil {
		return nil, err
	}
	rested := (p.usage().sum() - before) / int64(n)
	per := func(bytes int64) string { return strconv.FormatInt((1<<30)/max(1, bytes), 10) }
	return []string{strconv.Itoa(n), mib(running), mib(rested), per(running), per(rested), kindsText(kinds)}, nil
}
