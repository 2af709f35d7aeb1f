package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	smallInstances = 60
	appInstances   = 8
	// delay after the last request at which idle instances are frozen, and none has
	// stopped.
	frozenAfter = 3 * time.Second
	crewStays   = 25 * time.Second // keep-alive
)

func densityChapter() chapter {
	return chapter{
		name: "density", title: "Instances in memory",
		method: fmt.Sprintf(`From `+"`/proc/PID/smaps_rollup`"+`: PSS divides shared pages between processes, so that its sum is the real usage. The cost of an
instance is the growth of the sum over all processes of the platform while this number is started, one for each
function, divided by their number, on a platform without blank processes; *frozen* is the same %s after the last request, when
they are frozen. Then all stop, templates are created where they pay off, and all are started again, twice: *template* is the memory that remains while no
instance runs. The smallest functions get no template. Each of the applications is a project of its own.`, frozenAfter),
		measure: measureDensity,
	}
}

// crew is functions to be started beside each other.
type crew struct {
	sites []*site
	paths []string
}

func measureDensity(ctx context.Context, b *bench) ([]table, error) {
	t := table{text: 2, head: []string{"function", "starts", "instances", "MiB each", "frozen", "per GiB", "frozen", "template, MiB each"}}
	crews := []struct {
		name     string
		n, turns int
		make     func(ctx context.Context, p *platform, n int) (*crew, error)
	}{
		{smallReqRes, smallInstances, 1, smallCrew},
		{"SvelteKit, page", appInstances, 3, exampleCrew("sveltekit", "/ssr")},
		{"Next.js, page", appInstances, 3, exampleCrew("nextjs", "/dynamic")},
	}
	for _, one := range crews {
		p, err := b.up(ctx, "--keep-alive", crewStays.String(), "--instances", "256", "--pool", "0")
		if err != nil {
			return nil, err
		}
		rows, err := p.density(ctx, one.n, one.turns, one.make)
		p.stop()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			t.fail(err, one.name, none)
		}
		for _, cells := range rows {
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

// stock waits until nothing is done and returns the PSS of everything.
func (p *platform) stock(ctx context.Context) (int64, error) {
	err := ignoreNotIdle(p.waitIdle(ctx))
	return p.usage().sum(), err
}

// density starts a crew several times and returns the cells of its cost.
func (p *platform) density(ctx context.Context, n, turns int, assemble func(ctx context.Context, p *platform, n int) (*crew, error)) ([][]string, error) {
	c, err := assemble(ctx, p, n)
	if err != nil {
		return nil, err
	}
	bare, err := p.stock(ctx)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for turn := range turns {
		before, err := p.stock(ctx)
		if err != nil {
			return rows, err
		}
		template := none
		if turn > 0 {
			template = mib((before - bare) / int64(n))
		}
		cells, err := p.startCrew(ctx, c, before)
		if err != nil {
			return rows, err
		}
		rows = append(rows, append(cells, template))
		if turn == turns-1 {
			break
		}
		if err := errors.Join(pause(ctx, crewStays), ignoreNotIdle(p.idle(ctx, c.sites...))); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// startCrew starts a crew and returns the cells of its cost beyond before.
func (p *platform) startCrew(ctx context.Context, c *crew, before int64) ([]string, error) {
	kinds, n := map[lateen.StartKind]int{}, len(c.sites)
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
	began := time.Now()
	now, err := p.stock(ctx)
	if err != nil {
		return nil, err
	}
	running := (now - before) / int64(n)
	if err := pause(ctx, frozenAfter-time.Since(began)); err != nil {
		return nil, err
	}
	if now, err = p.stock(ctx); err != nil {
		return nil, err
	}
	rested := (now - before) / int64(n)
	per := func(bytes int64) string { return strconv.FormatInt((1<<30)/max(1, bytes), 10) }
	return []string{kindsText(kinds), strconv.Itoa(n), mib(running), mib(rested), per(running), per(rested)}, nil
}
