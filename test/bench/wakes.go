package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
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
	"github.com/lateen-dev/lateen/test/bench/proc"
)

const (
	wakes        = 10_000
	wakeVisitors = 4  // at once
	wakeCopies   = 10 // functions of each
	wakeEvent    = 4 * time.Second
	crashEvery   = 40 // requests of a visitor
)

// Events during the wakes.
const (
	eventDeploy  = "deployments"
	eventCrash   = "processes that ended themselves"
	eventKill    = "times a third of the processes were killed"
	eventRestart = "restarts of the platform"
	eventReload  = "reloads of the platform, each with a deployment"
	eventDeath   = "times the platform was killed"
)

// wakeEvents are the order of the events. The platform stays up during some of them,
// since otherwise every start would lack a process to start from.
func wakeEvents() []string {
	quiet := []string{eventKill, eventDeploy, eventKill}
	var all []string
	for _, one := range []string{eventReload, eventRestart, eventReload, eventDeath} {
		all = append(append(all, quiet...), one)
	}
	return all
}

func wakesChapter() chapter {
	return chapter{
		name: "wakes", title: "Ten thousand wakes",
		method: fmt.Sprintf(`%d visitors, each with %d functions of a project of its own, request one after the other, so that nearly each has
stopped since its last request (%s before). Every second visitor keeps its connection as long as possible. Meanwhile, in turns: a project is
deployed again; a function answers and ends its process at once, by exit, by an exception or by a signal; every third process
of the platform is killed; the platform is reloaded (`+"`lateen reload`"+`) during a deployment; it is stopped with SIGTERM and started
again; it is killed with SIGKILL and started again. A supervisor holds its socket, like systemd. A visitor whose connection is refused
tries again, like a browser or a load balancer, and so does one whose connection is reset before the first byte of the response: both are
counted separately. A wake has failed if its response is incomplete or has another status than 200. A request that was in progress in a process, or in
the platform, when that was killed from outside is a casualty of the kill, not a wake: it is counted separately as well.`, wakeVisitors, wakeCopies, keepAlive),
		measure: measureWakes,
	}
}

// wakeHandler answers with its version, and ends its process on request.
const wakeHandler = `export default (req, res) => {
  res.end("hello from version %d\n");
  if (req.url.includes("exit")) setImmediate(() => process.exit(1));
  if (req.url.includes("throw")) setImmediate(() => { throw new Error("as asked") });
  if (req.url.includes("abort")) setImmediate(() => process.kill(process.pid, "SIGKILL"));
};
`

// vigil is a run of wakes.
type vigil struct {
	platform *platform
	sites    []*site
	left     atomic.Int64 // requests to go
	killed   atomic.Int64 // Unix ns when processes were killed last
	died     atomic.Int64 // Unix ns when the platform was

	mu      sync.Mutex // guards below
	took    map[lateen.StartKind]sample
	failed  []error
	refused int // connections refused
	reset   int // connections without a byte of a response
	victims int // requests in progress in a process
	lost    int // requests on a connection to a platform that was killed
	events  map[string]int
	now     string            // the event that happens
	during  map[string]sample // requests that it met
}

func measureWakes(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.place(ctx, "--keep-alive", keepAlive.String())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.hold(ctx), p.start(ctx)); err != nil {
		return nil, err
	}
	defer func() { p.stop() }()
	v := &vigil{platform: p, took: map[lateen.StartKind]sample{}, events: map[string]int{}, during: map[string]sample{}}
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
	for i, s := range v.sites {
		visitors.Go(func() { v.visit(ctx, s, &caller{addr: p.addr, keeps: i%2 == 1}) })
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

// caller asks, each time over a connection of its own, or over one as long as it may.
type caller struct {
	addr   string
	keeps  bool
	conn   net.Conn
	reader *bufio.Reader
	since  time.Time // when the connection was begun that was used last
}

func (c *caller) ask(ctx context.Context, r request) (*response, error) {
	if !c.keeps {
		c.since = time.Now()
		return send(ctx, c.addr, r)
	}
	if c.conn == nil {
		c.since = time.Now()
		conn, err := connect(ctx, c.addr)
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	resp, err := exchange(c.conn, c.reader, r)
	if err != nil || resp.closes {
		c.leave()
	}
	return resp, err
}

func (c *caller) leave() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// visit requests the functions of s in turns until there are enough requests.
func (v *vigil) visit(ctx context.Context, s *site, c *caller) {
	defer c.leave()
	crashes := []string{"?exit", "?throw", "?abort"}
	for n := 0; v.left.Add(-1) >= 0 && ctx.Err() == nil; n++ {
		if left := v.left.Load(); left%20 == 0 {
			v.platform.bench.line.say("%d to go", left)
		}
		r := request{host: s.host, path: copyPath(n % wakeCopies)}
		if n%crashEvery == crashEvery-1 {
			r.path += crashes[n/crashEvery%len(crashes)]
			v.note(eventCrash)
		}
		v.wake(ctx, c, r)
		if pause(ctx, 2*keepAlive/wakeCopies) != nil {
			return
		}
	}
}

// wake sends a request until the platform takes it.
func (v *vigil) wake(ctx context.Context, c *caller, r request) {
	for deadline := time.Now().Add(30 * time.Second); ctx.Err() == nil; {
		began := time.Now()
		resp, err := c.ask(ctx, r)
		switch {
		case err == nil:
			v.judge(resp, began)
			return
		case ctx.Err() != nil:
			return
		case v.died.Load() > c.since.UnixNano():
			v.count(&v.lost)
		case time.Now().After(deadline):
			v.fail(err)
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			v.count(&v.refused)
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE): // before the first byte: see exchange
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

// judge records the assessment of a response.
func (v *vigil) judge(resp *response, began time.Time) {
	if resp.status == http.StatusOK && strings.HasPrefix(string(resp.body), "hello from version ") {
		v.mu.Lock()
		defer v.mu.Unlock()
		kind := resp.start().kind
		v.took[kind] = append(v.took[kind], resp.first)
		if v.now != "" {
			v.during[v.now] = append(v.during[v.now], resp.first)
		}
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

// happens records the current event; "" is none.
func (v *vigil) happens(event string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = event
}

// trouble lets events happen until ctx ends.
func (v *vigil) trouble(ctx context.Context) error {
	for n := 0; ; n++ {
		if pause(ctx, wakeEvent) != nil { // it is over
			return nil //nolint:nilerr // as it should
		}
		event := wakeEvents()[n%len(wakeEvents())]
		v.happens(event)
		err := v.event(ctx, event, n)
		v.happens("")
		if err != nil && ctx.Err() == nil {
			return err
		}
		v.note(event)
	}
}

// event lets one of [wakeEvents] happen, the n-th of all.
func (v *vigil) event(ctx context.Context, what string, n int) error {
	switch what {
	case eventKill:
		v.kill()
		return nil
	case eventReload:
		deployed := make(chan error, 1)
		go func() { deployed <- v.redeploy(ctx, n) }()
		_, err := v.platform.lateen(ctx, v.platform.dir, "http://"+v.platform.addr, "reload", "--data", v.platform.dir)
		return errors.Join(err, <-deployed)
	case eventRestart: // in good order, on its data
		v.platform.process.stop()
		return v.platform.start(ctx)
	case eventDeath:
		v.died.Store(time.Now().Add(time.Hour).UnixNano()) // everything before its end
		v.platform.kill()
		v.died.Store(time.Now().UnixNano())
		return v.platform.start(ctx)
	}
	return v.redeploy(ctx, n)
}

// redeploy puts another version of a project's functions in place of the last.
func (v *vigil) redeploy(ctx context.Context, version int) error {
	i := version % len(v.sites)
	dir := filepath.Join(v.platform.dir, "sites", fmt.Sprintf("visitor-%d", i))
	if err := copiesOf(dir, wakeCopies, fmt.Sprintf(wakeHandler, version)); err != nil {
		return err
	}
	_, err := v.platform.deploy(ctx, dir)
	return err
}

// kill kills every third descendant process of the platform's own, blank ones too.
func (v *vigil) kill() {
	pids := proc.Tree(v.platform.cmd.Process.Pid)[1:]
	v.killed.Store(time.Now().Add(time.Hour).UnixNano())
	for i, pid := range pids {
		if i%3 == 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	v.killed.Store(time.Now().Add(50 * time.Millisecond).UnixNano())
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
	counts := table{head: []string{"event", "times"}}
	counts.add(ours, "requests answered in full", strconv.Itoa(total))
	counts.add(ours, "**failed**", strconv.Itoa(len(v.failed)))
	counts.add(ours, "requests in a process that was killed from outside", strconv.Itoa(v.victims))
	counts.add(ours, "requests on a connection to a killed platform, sent again", strconv.Itoa(v.lost))
	counts.add(ours, "connections reset without a byte, requests sent again", strconv.Itoa(v.reset))
	counts.add(ours, "connections refused", strconv.Itoa(v.refused))
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
	met := table{caption: "Latencies of visitors during events of the platform: to the first byte, including the wait.", head: []string{"meanwhile", "requests", "min", "p50", "p90", "p99", "max"}}
	for _, event := range slices.Sorted(maps.Keys(v.during)) {
		met.add(ours, append([]string{event}, v.during[event].quantiles()...)...)
	}
	return []table{counts, t, met}
}
