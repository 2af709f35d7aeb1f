package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	wakes        = 10_000
	wakeVisitors = 4  // at once
	wakeCopies   = 10 // functions of each
	wakeEvent    = 1500 * time.Millisecond
	restartEvery = 10 // events
	exitEvery    = 40 // requests of a visitor
)

func wakesChapter() chapter {
	return chapter{
		name: "wakes", title: "Ten thousand wakes",
		method: fmt.Sprintf(`%d visitors, each with %d functions of a project of its own, ask for one after the other, so that nearly each has
stopped since its last request (%s before). Meanwhile, by turns: a project is deployed anew; a function answers and ends
its process at once; every third process beneath the platform is killed; the platform is ended with SIGTERM and started again. A visitor who finds nobody
listening tries again, as a browser or a balancer does, and a connection that is reset before a byte of the response came is
counted apart. A wake has failed if its response is not the whole one, with status 200. A request that was under way in a process when that was killed
from outside is the victim of that, not a wake: it is counted apart as well.`, wakeVisitors, wakeCopies, keepAlive),
		measure: measureWakes,
	}
}

// wakeHandler says its version, and ends its process if asked.
const wakeHandler = `export default (req, res) => {
  res.end("hello from version %d\n");
  if (req.url.includes("exit")) setImmediate(() => process.exit(1));
};
`

// vigil is a run of wakes.
type vigil struct {
	platform *platform
	sites    []*site
	left     atomic.Int64 // requests to go
	killed   atomic.Int64 // Unix ns when processes were killed last

	mu      sync.Mutex // guards below
	took    map[lateen.StartKind]sample
	failed  []error
	refused int // tries while nobody listened
	reset   int // connections without a byte of a response
	victims int // requests under way in a process that was killed
	events  map[string]int
}

func measureWakes(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", keepAlive.String())
	if err != nil {
		return nil, err
	}
	defer func() { p.stop() }()
	v := &vigil{platform: p, took: map[lateen.StartKind]sample{}, events: map[string]int{}}
	for i := range wakeVisitors {
		s, err := p.deployCopies(ctx, fmt.Sprintf("visitor-%d", i), wakeCopies, fmt.Sprintf(wakeHandler, 0))
		if err != nil {
			return nil, err
		}
		v.sites = append(v.sites, s)
	}
	v.left.Store(int64(b.times(wakes)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	var visitors, events sync.WaitGroup
	for _, s := range v.sites {
		visitors.Go(func() { v.visit(ctx, s) })
	}
	var troubled error
	events.Go(func() { troubled = v.trouble(ctx) })
	visitors.Wait()
	cancel()
	events.Wait()
	if troubled != nil {
		return nil, troubled
	}
	return v.tables(time.Since(began)), nil
}

// visit asks for the functions of s in turns until there are enough requests.
func (v *vigil) visit(ctx context.Context, s *site) {
	for n := 0; v.left.Add(-1) >= 0 && ctx.Err() == nil; n++ {
		if left := v.left.Load(); left%20 == 0 {
			v.platform.bench.line.say("%d to go", left)
		}
		r := request{host: s.host, path: copyPath(n % wakeCopies)}
		if n%exitEvery == exitEvery-1 {
			r.path += "?exit"
			v.note("processes that ended themselves")
		}
		v.wake(ctx, r)
		if pause(ctx, 2*keepAlive/wakeCopies) != nil {
			return
		}
	}
}

// wake sends a request until somebody takes it.
func (v *vigil) wake(ctx context.Context, r request) {
	for deadline := time.Now().Add(30 * time.Second); ctx.Err() == nil; {
		began := time.Now()
		resp, err := send(ctx, v.platform.addr, r)
		switch {
		case err == nil:
			v.judge(resp, began)
			return
		case ctx.Err() != nil:
			return
		case time.Now().After(deadline):
			v.fail(err)
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			v.count(&v.refused)
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF): // before the first byte: see ask
			v.count(&v.reset)
		default:
			v.fail(err)
			return
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

// judge notes what a response is worth.
func (v *vigil) judge(resp *response, began time.Time) {
	if resp.status == http.StatusOK && strings.HasPrefix(string(resp.body), "hello from version ") {
		v.mu.Lock()
		defer v.mu.Unlock()
		kind := resp.start().kind
		v.took[kind] = append(v.took[kind], resp.first)
		return
	}
	code := resp.header.Get("X-Vercel-Error")
	if at := v.killed.Load(); at > began.UnixNano() && strings.HasPrefix(code, "FUNCTION_INVOCATION_FAILED") {
		v.count(&v.victims)
		return
	}
	v.fail(fmt.Errorf("status %d, %s: %.60q", resp.status, code, resp.body))
}

func (v *vigil) count(what *int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	*what++
}

func (v *vigil) note(event string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.events[event]++
}

func (v *vigil) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = append(v.failed, err)
}

// trouble deploys, kills and restarts until ctx ends.
func (v *vigil) trouble(ctx context.Context) error {
	for n := 1; ; n++ {
		err := pause(ctx, wakeEvent)
		switch {
		case err != nil: // it is over
			return nil //nolint:nilerr // as it should
		case n%restartEvery == 0:
			err = v.restart(ctx)
		case n%3 == 0:
			v.kill()
		default:
			err = v.redeploy(ctx, n)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// redeploy puts another version of a project's functions in place of the last.
func (v *vigil) redeploy(ctx context.Context, version int) error {
	i := version % len(v.sites)
	dir := filepath.Join(v.platform.dir, "sites", fmt.Sprintf("visitor-%d", i))
	if err := copiesOf(dir, wakeCopies, fmt.Sprintf(wakeHandler, version)); err != nil {
		return err
	}
	_, err := v.platform.deploy(ctx, dir)
	v.note("deployments")
	return err
}

// kill kills every third process beneath the platform's own, blank ones too.
func (v *vigil) kill() {
	pids := tree(v.platform.cmd.Process.Pid)[1:]
	v.killed.Store(time.Now().UnixNano())
	for i, pid := range pids {
		if i%3 == 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	v.killed.Store(time.Now().Add(50 * time.Millisecond).UnixNano())
	v.note("times a third of the processes were killed")
}

// restart ends the platform in good order and starts it again on its data.
func (v *vigil) restart(ctx context.Context) error {
	v.platform.process.stop()
	v.note("restarts of the platform")
	return v.platform.start(ctx)
}

func (v *vigil) tables(took time.Duration) []table {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := table{head: []string{"start", "requests", "min", "p50", "p90", "p99", "max"}}
	total := 0
	for _, kind := range slices.SortedFunc(maps.Keys(v.took), func(a, b lateen.StartKind) int { return len(v.took[b]) - len(v.took[a]) }) {
		total += len(v.took[kind])
		t.add(ours, append([]string{string(kind)}, v.took[kind].quantiles()...)...)
	}
	counts := table{head: []string{"what happened", "times"}}
	counts.add(ours, "requests answered in full", strconv.Itoa(total))
	counts.add(ours, "**failed**", strconv.Itoa(len(v.failed)))
	counts.add(ours, "requests in a process that was killed from outside meanwhile", strconv.Itoa(v.victims))
	counts.add(ours, "connections reset without a byte, asked again", strconv.Itoa(v.reset))
	counts.add(ours, "tries while nobody listened", strconv.Itoa(v.refused))
	for _, event := range slices.Sorted(maps.Keys(v.events)) {
		counts.add(ours, event, strconv.Itoa(v.events[event]))
	}
	reasons := map[string]int{}
	for _, err := range v.failed {
		reasons[err.Error()]++
	}
	for reason, n := range reasons {
		counts.notes = append(counts.notes, fmt.Sprintf("Failed %d times: %.200s.", n, reason))
	}
	counts.notes = append(counts.notes, fmt.Sprintf("All of it took %s.", took.Round(time.Second)))
	return []table{counts, t}
}
