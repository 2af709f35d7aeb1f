package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// engineBook is the chapters of `make bench-engine`.
func engineBook() book {
	return book{engineIntroduction, "docs/benchmarks-engine.md", []chapter{
		startsChapter(), openChapter(), freshChapter(), hundredChapter(), burstChapter(), wakesChapter(),
		overheadChapter(), thawChapter(), refillChapter(), densityChapter(), registeredChapter(),
	}}
}

const engineIntroduction = `# Benchmarks of the function engine

Written by ` + "`make bench-engine`" + `; do not edit. This page measures how functions start and idle, and their cost while
idle. [Goals](goals.md) lists the goals, met and missed, with their limiting factors. Every number comes from one run on one machine, with Lateen as a process of its
own, its sandbox on unless a row says otherwise, and the load generator on the same processors.

How to read it:

- *Start* is the kind of start of the instance, from the response header ` + "`x-lateen-start`" + `: **template**, forked
  from a template process of the same deployment; **blank**, a blank process that loaded the function
  and its code cache; **cold**, booted for the request; **thawed**, frozen before; **prewarmed**, started before the
  request arrived; **warm**, running.
- Times are milliseconds from a request at the public listener, on an open connection, to the
  first byte of the response, unless the head of a column says otherwise.
- A virtual machine's speed drifts between minutes. Trust ratios within a table more than numbers; differences
  below 20 % are noise; the minimum is the time of the code without competition for the processors.
`

// The flags of `lateen up` that select tiers and sandbox layers.
const (
	flagOpen      = "--unsandboxed"
	flagTemplates = "--templates"
)

// knows reports whether `lateen up` has a flag.
func (b *bench) knows(ctx context.Context, flag string) bool {
	help, _ := exec.CommandContext(ctx, b.tools.lateen, "up", "--help").CombinedOutput() // without help it knows none
	return bytes.Contains(help, []byte(flag))
}

var errFlag = errors.New("this build of lateen up has no such flag")

// showStarts enables the header of starts in a site's responses.
func (s *site) showStarts(ctx context.Context) error {
	_, err := s.platform.lateen(ctx, s.platform.dir, "http://"+s.platform.addr, "project", "set", s.project, "--start-header", "always")
	return err
}

// startOf returns the x-lateen-start field of a response.
type startOf struct {
	kind               lateen.StartKind // "" without the header
	queue, claim, load time.Duration
}

func parseStart(header string) startOf {
	kind, phases, _ := strings.Cut(header, ";")
	s := startOf{kind: lateen.StartKind(kind)}
	for phase := range strings.SplitSeq(phases, ";") {
		name, text, _ := strings.Cut(phase, "=")
		ms, err := strconv.ParseFloat(strings.TrimSuffix(text, "ms"), 64)
		if err != nil {
			continue
		}
		took := time.Duration(ms * float64(time.Millisecond))
		switch name {
		case "queue":
			s.queue = took
		case "claim":
			s.claim = took
		case "load":
			s.load = took
		}
	}
	return s
}

func (r *response) start() startOf { return parseStart(r.header.Get("X-Lateen-Start")) }

// client is a client of the platform's API.
func (p *platform) client() *client.Client {
	return &client.Client{BaseURL: "http://" + p.addr, Token: p.token}
}

// instances is how many instances a site's functions have now.
func (s *site) instances(ctx context.Context) (int, error) {
	functions, err := s.platform.client().Functions(ctx, s.project)
	n := 0
	for i := range functions {
		n += len(functions[i].Instances)
	}
	return n, err
}

// copiesOf writes n functions with the same handler, and how Lateen finds them:
// /f/0 to /f/n-1.
func copiesOf(dir string, n int, handler string) error {
	files := map[string]string{}
	for i := range n {
		function(files, fmt.Sprintf("f/%d", i), handler)
	}
	return output(dir, files)
}

// copyPath is the path of the i-th of [copiesOf].
func copyPath(i int) string { return "/f/" + strconv.Itoa(i) }

// deployCopies deploys n copies of a handler as a project of that name.
func (p *platform) deployCopies(ctx context.Context, name string, n int, handler string) (*site, error) {
	dir := p.dir + "/sites/" + name
	if err := copiesOf(dir, n, handler); err != nil {
		return nil, err
	}
	s, err := p.deploy(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s, s.showStarts(ctx)
}

// idle waits until the platform has nothing to do and no instance is left of
// sites that may have some.
func (p *platform) idle(ctx context.Context, sites ...*site) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		left := 0
		for _, s := range sites {
			n, err := s.instances(ctx)
			if err != nil {
				return err
			}
			left += n
		}
		if left == 0 {
			return ignoreNotIdle(p.settle(ctx, 50*time.Millisecond))
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return errNotIdle
}

// blanks is the pool of blank processes at a moment.
type blanks struct{ ready, wanted, booting int }

// blanks reads the pool from the platform's metrics.
func (p *platform) blanks(ctx context.Context) (b blanks, err error) {
	resp, err := send(ctx, p.addr, request{host: p.addr, path: "/metrics", header: "Authorization: Bearer " + p.token + "\r\n"})
	if err != nil {
		return b, err
	}
	for name, n := range map[string]*int{
		"lateen_blank_processes": &b.ready, "lateen_blank_processes_wanted": &b.wanted, "lateen_blank_processes_booting": &b.booting,
	} {
		_, value, _ := strings.Cut(string(resp.body), "\n"+name+" ")
		value, _, _ = strings.Cut(value, "\n")
		if *n, err = strconv.Atoi(value); err != nil {
			return b, fmt.Errorf("%s is %q: %w", name, value, err)
		}
	}
	return b, nil
}

// refilled waits until the pool of blank processes is as full as it is meant
// to be, and returns it.
func (p *platform) refilled(ctx context.Context) (blanks, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		b, err := p.blanks(ctx)
		if err != nil || b.ready >= b.wanted && b.booting == 0 {
			return b, err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return b, err
		}
	}
	return blanks{}, errNotIdle
}

// halfFull waits until half of the blank processes that are meant to be there are.
func (p *platform) halfFull(ctx context.Context) error {
	for {
		b, err := p.blanks(ctx)
		if err != nil || 2*b.ready >= b.wanted {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func ignoreNotIdle(err error) error {
	if errors.Is(err, errNotIdle) {
		return nil
	}
	return err
}
