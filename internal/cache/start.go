package cache

import (
	"context"
	"sync"
	"time"
)

// run executes jobs until ctx ends, and waits for them.
func (fs *flights) run(ctx context.Context) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	defer close(fs.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-fs.jobs:
			jobs.Go(func() { job(ctx) })
		}
	}
}

// fill implements [Cache.Fill].
func (fs *flights) fill(ctx context.Context, key Key, how Fill) (f *Flight, leader bool, err error) {
	since := time.Time{}
	if !how.Seen.IsZero() {
		since = how.since() // an entry that existed at the caller's lookup is not acceptable
	}
	for {
		f, leader, err := fs.join(how.waitContext(ctx), key, how, true, since)
		switch {
		case err != nil:
			return nil, false, err
		case leader:
			return f, true, fs.dispatch(ctx, f, fs.fills.acquire(key.Tenant, key.Scope, how.Client))
		case f == nil:
			if f := fs.madeSince(key, how); f != nil {
				return f, false, nil // another waiting request was faster
			}
			since = time.Time{} // evicted already
			continue
		case !f.began.Before(how.Since):
			return f, false, nil
		}
		select {
		case <-f.done:
			since = how.since()
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// madeSince returns an ended flight for the entry of key if its cache fill started
// at how.Since or later; else nil.
func (fs *flights) madeSince(key Key, how Fill) *Flight {
	e := fs.storage.get(key)
	if e == nil {
		return nil
	}
	defer e.Close()
	if e.Started.Before(how.Since) {
		return nil
	}
	f := &Flight{fs: fs, key: key, fill: how, began: e.Started, done: make(chan struct{}), stored: true}
	f.leaving.Do(func() {}) // there is no leader
	close(f.done)
	return f
}

// startRefresh implements [Cache.Refresh].
func (fs *flights) startRefresh(ctx context.Context, key Key, how Fill) bool {
	if fs.pausing(key, time.Now()) {
		return false
	}
	p := fs.refresh.tryAcquire(key.Tenant, key.Scope)
	if p == nil {
		return false
	}
	f, leader, err := fs.join(context.WithoutCancel(ctx), key, how, false, how.since())
	if err != nil || !leader {
		p.release()
		return false
	}
	f.Leave()
	return fs.dispatch(ctx, f, p) == nil
}

// pausing implements [Cache.Failed].
func (fs *flights) pausing(key Key, now time.Time) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	until, ok := fs.failed[key]
	return ok && now.Before(until)
}

// join returns the flight of key, and whether the caller is its leader. It returns
// nil if key has no flight and the cache fill of the current entry started at since
// or later; a zero since skips this check. waits means that the caller waits for the
// flight, which counts as awaited until ctx ends. The error is [ErrBusy] or [ErrCycle].
func (fs *flights) join(ctx context.Context, key Key, how Fill, waits bool, since time.Time) (f *Flight, leader bool, err error) {
	s := fs.storage.scopeOf(key)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var within *Flight // the flight that waits for this one
	if waits {
		within = fs.byID[how.Within]
	}
	if f := fs.byKey[key]; f != nil {
		switch {
		case !f.isOrWaitsFor(within):
		case f.first != nil:
			return nil, false, ErrNotReusable // a fill of its own would not wait for the group
		default:
			return nil, false, ErrCycle
		}
		f.addWait(within)
		if waits {
			f.awaitLocked(ctx)
		}
		return f, false, nil
	}
	// An ended flight has published its entry: none is stored between this lookup
	// and the new flight.
	if !since.IsZero() && fs.storage.startedSince(s, key, since) {
		return nil, false, nil
	}
	if !fs.all.Take(1, how.shareOwners(key.Tenant)...) {
		return nil, false, ErrBusy
	}
	f = fs.newFlight(s, key, how)
	fs.byKey[key] = f
	if how.ID != "" {
		fs.byID[how.ID] = f
	}
	f.addWait(within)
	f.awaitLocked(ctx)
	f.startGroupLocked()
	return f, true, nil
}

// dispatch executes the cache fill of f once p is granted, and releases p at the end.
func (fs *flights) dispatch(ctx context.Context, f *Flight, p *place) (err error) {
	job := func(ctx context.Context) {
		defer f.spool.release()
		defer p.release()
		select {
		case <-p.granted:
			f.run(ctx)
		case <-f.urgent:
			p.release()
			f.run(ctx)
		case <-f.abandoned:
			f.end(nil, ErrNotReusable, false)
		case <-ctx.Done():
			f.end(nil, ErrStopped, false)
		}
		f.runGroup(ctx)
	}
	var toOthers error
	select {
	case fs.jobs <- job:
		return nil
	case <-fs.stopped:
		err, toOthers = ErrStopped, ErrStopped
	case <-ctx.Done(): // the other requests continue
		err, toOthers = context.Cause(ctx), ErrNotReusable
	}
	p.release()
	f.end(nil, toOthers, false)
	f.failGroup(toOthers)
	f.spool.release()
	f.Leave()
	return err
}
