package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// run executes the cache fill.
func (f *Flight) run(ctx context.Context) {
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			f.fs.storage.o.Log.Error("cache fill panicked", "deployment_id", f.key.Scope, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			f.end(nil, fmt.Errorf("cache fill panicked: %v", r), false)
			f.spool.finish(f.err, nil)
		}
	}()
	resp, err := f.fill.Generate(ctx)
	if err != nil {
		f.end(nil, err, false)
		return
	}
	defer resp.Body.Close()
	resp.Entry.Started, resp.Entry.Completed = f.began, time.Now()
	f.response = resp
	close(f.begun)
	if resp.Reuse == ReuseNone {
		f.end(nil, ErrNotReusable, false)
		watch.Go(func() { f.cancelUnread(ctx, cancel) })
	}
	switch err := f.spool.fill(resp.Body); {
	case err == nil:
		f.publish()
	case f.spool.rest == nil:
		f.end(nil, err, false)
	default: // only the leader reads the rest
		f.end(nil, ErrNotReusable, false)
		select {
		case <-f.left:
		case <-ctx.Done():
		}
	}
}

// cancelUnread cancels a response once its leader has stopped reading.
func (f *Flight) cancelUnread(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-f.left:
		cancel()
	case <-ctx.Done():
	}
}

// publish publishes the complete response. The waiting requests get an entry in memory
// before it is on disk, unless they asked for a durable one.
func (f *Flight) publish() {
	e := f.response.Entry.clone()
	e.Started, e.Completed = f.began, time.Now()
	f.spool.describe(e)
	stored := f.response.Reuse == ReuseStored
	if stored {
		f.fs.storage.propagate(f.scope, e, f.fill.Propagation)
		f.fs.storage.publish(f.scope, f.key, e)
		if e.inline() && !f.fill.Durable {
			f.end(e, nil, true)
		}
		stored = f.store(e)
	}
	switch {
	case e.inline():
		f.end(e, nil, stored)
	case stored:
		f.end(nil, nil, true)
	default:
		f.end(nil, ErrNotReusable, false)
	}
}

// store writes e to disk and reports success.
func (f *Flight) store(e *Entry) bool {
	err := f.fs.storage.store(f.scope, f.key, e, f.spool)
	if err != nil && !errors.Is(err, errDropped) {
		f.fs.storage.o.Log.Error("could not store a cached page", "deployment_id", f.key.Scope, "err", err)
	}
	return err == nil
}

// end ends the flight; only the first call has an effect.
func (f *Flight) end(e *Entry, err error, stored bool) {
	f.ended.Do(func() {
		f.entry, f.stored, f.err = e, stored, err
		f.fs.remove(f, stored)
		if f.response == nil {
			close(f.begun)
		}
		close(f.done)
	})
}

// remove removes f, which has ended; stored reports whether its entry was stored.
func (fs *flights) remove(f *Flight, stored bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.byKey, f.key)
	delete(fs.byID, f.fill.ID)
	f.removeWaits()
	fs.all.Give(1, f.fill.shareOwners(f.key.Tenant)...)
	switch {
	case stored:
		delete(fs.failed, f.key)
		return
	case f.response == nil && errors.Is(f.err, ErrNotReusable): // no attempt was made
		return
	}
	now := time.Now()
	if len(fs.failed) >= maxFailed {
		for key, until := range fs.failed {
			if now.After(until) || len(fs.failed) >= maxFailed {
				delete(fs.failed, key)
			}
		}
	}
	fs.failed[f.key] = now.Add(fs.retry)
}
