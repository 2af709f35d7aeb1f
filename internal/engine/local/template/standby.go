package template

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	assumedStandbyMemory = 8 << 20     // assumed memory of a standby in bytes, until the engine has measured one
	standbyInterval      = time.Second // interval of the search for templates without a standby
)

// A standby is a process that a template has forked ahead of demand. It has
// its own cgroup, its own randomness, and writable copies of the pages that a first
// response touches. It executes nothing, so no code of the function runs in it, and
// it is not an instance until a start takes it.

// standbyGap is the state of a template without a standby.
type standbyGap struct {
	since time.Time // time since which it has none
	retry time.Time // earliest next attempt
}

// wait returns the time until the next attempt, given the rest of a burst of starts, for
// which it waits at most [pool.MaxBurstWait].
func (l standbyGap) wait(now time.Time, burst time.Duration) time.Duration {
	return max(l.retry.Sub(now), min(burst, l.since.Add(pool.MaxBurstWait).Sub(now)))
}

// KeepStandbys forks a standby for each template without one, one after the other in
// quiet moments, until ctx ends.
func (ts *Templates) KeepStandbys(ctx context.Context) {
	timer := time.NewTimer(standbyInterval)
	defer timer.Stop()
	for {
		select {
		case <-ts.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		t, again := ts.needsStandby(now, ts.group.Burst.Remaining(now))
		if t != nil {
			ts.startStandby(ctx, t)
			again = 0
		}
		timer.Reset(again)
	}
}

// needsStandby returns the most recently used template that is due for a standby, or
// else the time until the next check.
func (ts *Templates) needsStandby(now time.Time, burst time.Duration) (*Template, time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	again := standbyInterval
	templates, standbys := ts.fitLocked()
	for n, t := range ts.all[:templates] {
		if t.standby != nil || n >= standbys && t.Instance != nil {
			continue
		}
		wait := t.gap.wait(now, burst)
		if wait <= 0 {
			return t, 0
		}
		again = min(again, wait)
	}
	return nil, again
}

// startStandby starts a standby of a template.
func (ts *Templates) startStandby(ctx context.Context, t *Template) {
	start := ts.forkStandby
	if t.Instance == nil {
		start = ts.loadStandby
	}
	w, err := start(ctx, t)
	if err == nil {
		ts.setStandby(t, w)
		return
	}
	ts.mu.Lock()
	t.failures++
	t.gap.retry = time.Now().Add(pool.Backoff(t.failures))
	ts.mu.Unlock()
	if ctx.Err() == nil && !t.gone() {
		ts.group.Host.Log.WarnContext(ctx, "could not start a standby of a template", "function", t.spec.Name, "deployment_id", t.spec.Deployment, "err", err)
	}
}

// forkStandby forks a process from a template and returns it once it waits for a request.
func (ts *Templates) forkStandby(ctx context.Context, t *Template) (*process.Process, error) {
	w, err := ts.fork(ctx, t)
	if err != nil {
		return nil, err
	}
	err = errors.Join(w.Sandboxed.Background(), guest.Settle(w.Control(), t.footprint))
	timeout := time.NewTimer(ts.group.Host.Scaled(process.ForkTimeout))
	defer timeout.Stop()
	if err == nil {
		select {
		case <-w.Waiting:
			err = w.Sandboxed.Foreground()
		case <-w.Exited:
			err = fmt.Errorf("the process ended: %s", w.State)
		case <-timeout.C:
			err = fmt.Errorf("timeout after %v", ts.group.Host.Scaled(process.ForkTimeout))
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		w.Kill()
		return nil, fmt.Errorf("fork %s: %w", t.spec.Name, err)
	}
	return w, nil
}

// setStandby assigns a standby to its template, unless the template is retired or the
// standby has ended.
func (ts *Templates) setStandby(t *Template, w *process.Process) {
	memory := w.Memory()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.retired || w.Gone() {
		w.Kill()
		return
	}
	t.standby = w
	switch {
	case memory == 0: // it was not measured
	case t.Instance == nil:
		t.memory.template = memory
	default:
		t.memory.standby = memory
	}
	ts.trimLocked()
}

// standbyEnded records the end of a forked process if it is the standby.
func (ts *Templates) standbyEnded(t *Template, w *process.Process) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.standby != w {
		return
	}
	t.failures++
	now := time.Now()
	t.standby, t.gap = nil, standbyGap{since: now, retry: now.Add(pool.Backoff(t.failures))}
	ts.wakeUp()
}

// takeStandby removes and returns the standby of a template, or nil.
func (ts *Templates) takeStandby(t *Template) *process.Process {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	w := t.standby
	t.standby, t.lastUsed = nil, time.Now()
	if w != nil {
		t.gap.since = t.lastUsed
	}
	ts.wakeUp()
	if w == nil || w.Lost() {
		return nil
	}
	t.failures = 0
	return w
}

// Standby returns the standby of a template, or nil, without a claim to it.
func (ts *Templates) Standby(t *Template) *process.Process {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return t.standby
}

func (t *Template) dropStandbyLocked() {
	if t.standby != nil {
		t.standby.Kill()
		t.standby = nil
	}
}
