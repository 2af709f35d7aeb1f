package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	firstSpare = 8 << 20     // bytes that a spare holds until one was measured
	tendSpares = time.Second // templates that lack one are looked for unasked
)

// A spare is a child that a template has forked before anybody asked for it. It
// has a group of its own, its own randomness, and the memory that a first answer
// will touch. It stands still, so that nothing of the function runs in it, and
// is no instance until it is taken.

// holding is what a template and its spare take of the memory for all.
type holding struct{ template, spare int64 }

// room says how many of the templates there is room for, the most recently used
// first, and for the spares of how many of these: spares have what is left.
func room(limit int64, all []holding) (templates, spares int) {
	for _, h := range all {
		if limit -= h.template; limit < 0 {
			return templates, 0
		}
		templates++
	}
	for _, h := range all {
		if limit -= h.spare; limit < 0 {
			return templates, spares
		}
		spares++
	}
	return templates, spares
}

// lack is a template's want of a spare.
type lack struct {
	since time.Time // it has none
	retry time.Time // after it got none
}

// wait is how long to leave it at that, where it is quiet in a while. It is not
// left for ever because it never gets quiet.
func (l lack) wait(now time.Time, quiet time.Duration) time.Duration {
	return max(l.retry.Sub(now), min(quiet, l.since.Add(pool.Patience).Sub(now)))
}

// keepSpares forks a spare for each template that has none, one after the other
// when it is quiet, until ctx ends.
func (e *Engine) keepSpares(ctx context.Context) {
	timer := time.NewTimer(tendSpares)
	defer timer.Stop()
	for {
		select {
		case <-e.templates.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		t, again := e.templates.lacking(now, e.rush.Quiet(now))
		if t != nil {
			e.breed(ctx, t)
			again = 0
		}
		timer.Reset(again)
	}
}

// lacking returns the template that has lacked a spare long enough, the most
// recently used of them, or else when to look again.
func (ts *templates) lacking(now time.Time, quiet time.Duration) (*template, time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	again := tendSpares
	templates, spares := ts.fitLocked()
	for n, t := range ts.all[:templates] {
		if t.spare != nil || n >= spares && t.instance != nil {
			continue
		}
		wait := t.lack.wait(now, quiet)
		if wait <= 0 {
			return t, 0
		}
		again = min(again, wait)
	}
	return nil, again
}

// breed forks a spare for a template.
func (e *Engine) breed(ctx context.Context, t *template) {
	raise := e.raise
	if t.instance == nil {
		raise = e.loadAhead
	}
	w, err := raise(ctx, t)
	if err == nil {
		e.templates.give(t, w)
		return
	}
	e.templates.mu.Lock()
	t.failures++
	t.lack.retry = time.Now().Add(pool.Backoff(t.failures))
	e.templates.mu.Unlock()
	if ctx.Err() == nil && !t.gone() {
		e.o.Log.WarnContext(ctx, "a template has no spare", "function", t.spec.Name, "deployment_id", t.spec.Deployment, "err", err)
	}
}

// raise forks a child and returns it once it stands still.
func (e *Engine) raise(ctx context.Context, t *template) (*worker, error) {
	w, err := e.fork(ctx, t)
	if err != nil {
		return nil, err
	}
	err = errors.Join(w.process.Background(), guest.Settle(w.ends.control, t.footprint))
	timeout := time.NewTimer(e.patient(forkTimeout))
	defer timeout.Stop()
	if err == nil {
		select {
		case <-w.parked:
			err = w.process.Foreground()
		case <-w.exited:
			err = fmt.Errorf("it ended: %s", w.state)
		case <-timeout.C:
			err = fmt.Errorf("it took longer than %v", e.patient(forkTimeout))
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

// give gives a template its spare, unless the template is given up or the spare
// is gone by now.
func (ts *templates) give(t *template, w *worker) {
	holds := w.Memory()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.retired || isClosed(w.exited) {
		w.Kill()
		return
	}
	t.spare = w
	switch {
	case holds == 0: // it was not measured
	case t.instance == nil:
		t.holds.template = holds
	default:
		t.holds.spare = holds
	}
	ts.trimLocked()
}

// miss takes note of the end of a child, which nobody has taken if it is the
// spare.
func (ts *templates) miss(t *template, w *worker) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.spare != w {
		return
	}
	t.failures++
	now := time.Now()
	t.spare, t.lack = nil, lack{since: now, retry: now.Add(pool.Backoff(t.failures))}
	ts.look()
}

// take returns the spare of a template that is about to have a child; nil if it
// has none.
func (ts *templates) take(t *template) *worker {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	w := t.spare
	t.spare, t.used = nil, time.Now()
	if w != nil {
		t.lack.since = t.used
	}
	ts.look()
	if w == nil || w.Lost() {
		return nil
	}
	t.failures = 0
	return w
}

// look has templates that lack a spare looked after.
func (ts *templates) look() {
	select {
	case ts.wake <- struct{}{}:
	default:
	}
}
