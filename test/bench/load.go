package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/test/bench/proc"
)

// load is wrk's measurement of one server: closed loop, kept connections.
type load struct {
	requests int
	rate     float64 // requests a second
	p50, p99 time.Duration
	most     time.Duration
	failures int           // of connections, and statuses of 400 and more
	cpu      time.Duration // of the server's processes
}

// target is a server under load.
type target struct {
	name    string
	addr    string
	host    string // Host header
	kind    kind
	process *process
	err     error // why it is not there
}

// aim is the parameters of a load on a target.
type aim struct {
	path        string
	header      string // one more, "" is none
	connections int
	seconds     int
}

// wrkReport makes wrk print the numbers that its own summary rounds.
const wrkReport = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("\nRESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max, e.connect + e.read + e.write + e.timeout + e.status))
end
`

// apply loads a target for a while with one thread of wrk.
func (b *bench) apply(ctx context.Context, t *target, a aim) (load, error) {
	if b.tools.wrk == "" {
		return load{}, fmt.Errorf("wrk: %w", errMissing)
	}
	script := filepath.Join(b.dir, "report.lua")
	if err := os.WriteFile(script, []byte(wrkReport), 0o600); err != nil {
		return load{}, err
	}
	args := []string{"-t1", "-c" + strconv.Itoa(a.connections), fmt.Sprintf("-d%ds", a.seconds), "-s", script, "-H", "Host: " + t.host}
	if a.header != "" {
		args = append(args, "-H", a.header)
	}
	cmd := exec.CommandContext(ctx, b.tools.wrk, append(args, "http://"+t.addr+a.path)...)
	cmd.Env = b.tools.env()
	before := proc.CPU(t.process.cmd.Process.Pid)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	l := load{cpu: proc.CPU(t.process.cmd.Process.Pid) - before}
	var spent, p50, p99, longest int64 // µs
	_, result, _ := strings.Cut(string(out), "RESULT ")
	if _, err := fmt.Sscan(result, &l.requests, &spent, &p50, &p99, &longest, &l.failures); err != nil {
		return load{}, fmt.Errorf("wrk says %q: %w", out, err)
	}
	l.rate = float64(l.requests) / (float64(spent) / 1e6)
	l.p50, l.p99, l.most = micros(p50), micros(p99), micros(longest)
	return l, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// typical makes one of several rounds: the median of each number, the sum of
// requests and failures, the most of all.
func typical(rounds []load) load {
	var sum load
	var rates []float64
	var p50s, p99s, cpus []time.Duration
	for _, l := range rounds {
		sum.requests += l.requests
		sum.failures += l.failures
		sum.most = max(sum.most, l.most)
		rates, p50s, p99s = append(rates, l.rate), append(p50s, l.p50), append(p99s, l.p99)
		if l.requests > 0 {
			cpus = append(cpus, l.cpu*10_000/time.Duration(l.requests))
		}
	}
	sum.rate, sum.p50, sum.p99, sum.cpu = median(rates), median(p50s), median(p99s), median(cpus)
	return sum
}

// compare loads targets in turns, round by round, with each of the aims, and returns
// the median of each aim and target.
func (b *bench) compare(ctx context.Context, targets []*target, aims []aim, rounds int) ([][]load, error) {
	runs := make([][][]load, len(aims))
	for i := range runs {
		runs[i] = make([][]load, len(targets))
	}
	for round := range rounds {
		for i, a := range aims {
			for j := range targets {
				j = (j + round) % len(targets) // each is first in some rounds
				t := targets[j]
				if t.err != nil {
					continue
				}
				b.line.say("round %d of %d: %s, %s%s, %d connections", round+1, rounds, t.name, a.path, a.header, a.connections)
				if err := b.machine.quiet(ctx); err != nil {
					return nil, err
				}
				l, err := b.apply(ctx, t, a)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if err != nil {
					t.err = err
					continue
				}
				runs[i][j] = append(runs[i][j], l)
			}
		}
	}
	out := make([][]load, len(aims))
	for i := range runs {
		for _, l := range runs[i] {
			out[i] = append(out[i], typical(l))
		}
	}
	return out, nil
}

// loadHead is the table head for the cells of a load.
var loadHead = []string{"conns", "server", "requests/s", "Lateen ÷ it", "p50", "p99", "max", "requests", "CPU s per 10k", "failed"}

// comparisonTable is the table of a comparison. The first of targets is the one that
// the others' throughput is the measure of.
func comparisonTable(targets []*target, aims []aim, loads [][]load) table {
	t := table{head: slices.Clone(loadHead), text: 2}
	for i, a := range aims {
		for j, target := range targets {
			conns := strconv.Itoa(a.connections)
			if target.err != nil {
				t.fail(target.err, conns, target.name)
				continue
			}
			l := loads[i][j]
			share := none
			if target.kind == peer && targets[0].err == nil {
				share = times(loads[i][0].rate, l.rate)
			}
			t.add(target.kind, conns, target.name, fmt.Sprintf("%.0f", l.rate), share, ms(l.p50), ms(l.p99), ms(l.most),
				strconv.Itoa(l.requests), fmt.Sprintf("%.2f", l.cpu.Seconds()), strconv.Itoa(l.failures))
		}
	}
	return t
}
