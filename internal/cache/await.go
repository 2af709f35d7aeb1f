package cache

import "context"

// Wait returns the complete entry, to be closed. The error is [ErrBusy], [ErrNotReusable],
// [ErrStopped], the error of the fill or the cause that ended ctx.
func (f *Flight) Wait(ctx context.Context) (*Entry, error) {
	if err := f.awaitEnd(ctx); err != nil {
		return nil, err
	}
	if f.err != nil || f.entry != nil {
		return f.entry, f.err
	}
	if e := f.fs.storage.get(f.key); e != nil {
		return e, nil
	}
	return nil, ErrNotReusable // removed already
}

// awaitEnd returns once f has ended. The wait for an ended flight takes no share.
func (f *Flight) awaitEnd(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	default:
	}
	if !f.wait() {
		return ErrBusy
	}
	defer f.waited()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait counts a request that waits for f, and reports whether its tenant may have
// one more.
func (f *Flight) wait() bool {
	fs := f.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.waiting.Take(1, f.key.Tenant) {
		return false
	}
	f.leader().awaited++
	return true
}

// waited removes a waiting request from the count.
func (f *Flight) waited() {
	fs := f.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.waiting.Give(1, f.key.Tenant)
	f.leader().unawaitLocked()
}

// leader is the flight whose run fills f's entry.
func (f *Flight) leader() *Flight {
	if f.first != nil {
		return f.first
	}
	return f
}

// awaitLocked counts the request of ctx as waiting for f until ctx ends.
// [flights].mu is held.
func (f *Flight) awaitLocked(ctx context.Context) {
	fs, leader := f.fs, f.leader()
	leader.awaited++
	context.AfterFunc(ctx, func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		leader.unawaitLocked()
	})
}

// unawaitLocked removes one waiting request from f's count. [flights].mu is held.
func (f *Flight) unawaitLocked() {
	if f.awaited--; f.awaited == 0 {
		f.abandon.Do(func() { close(f.abandoned) })
	}
}
