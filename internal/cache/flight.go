package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/share"
)

// Use is what a response is good for.
type Use int

// The uses of a response.
const (
	Once   Use = iota // for the request it was made for, and nobody else
	Shared            // also for the requests that wait for it: an error, say
	Kept              // also for later ones
)

// Spread is what a new entry does to the older members of its group.
type Spread int

// The spreads.
const (
	SpreadNone    Spread = iota // nothing: it was missing, or they are as stale as it was
	SpreadStale                 // they are stale
	SpreadExpired               // they are expired
)

// Draft is a response as its maker has it: the header is there, the body may
// still be on its way. The cache sets the rest of the entry.
type Draft struct {
	Entry  *Entry // Status, Header, Tags, Group, Fresh and Usable
	Body   io.ReadCloser
	Length int64 // of the body; negative is unknown
	Use    Use
}

// Making says how an entry is made.
type Making struct {
	// Make asks for the response. It is called once, with a context that ends
	// with the cache's Run and not with any client's.
	Make   func(ctx context.Context) (*Draft, error)
	Spread Spread
	// Durable has everybody wait until the entry would survive a crash.
	Durable bool
	// Since is when making it must have begun at the earliest, by [Cache.Now]: one
	// that is under way since before is waited for, and then another begins. Zero
	// is any time.
	Since time.Time

	// Seen is when the entry was born that the caller found and cannot use, [Unseen] if
	// there was none: an entry that came between that look and the making is taken.
	// Zero is that the caller did not look.
	Seen time.Time

	// ID names the making for what it asks for in turn; "" is no name. Within is the
	// ID of the making that the request is part of, which waits for this one; "" is
	// none. IDs are secrets.
	ID, Within string

	// Client is the client that asked for the entry. Clients of a tenant divide the
	// makings of the tenant, and their makings of a scope begin in turn. "" is no client
	// in particular.
	Client string

	// Group are further entries that come of the same making. Each is made once this
	// one is kept, one after the other, unless it is being made already.
	Group []Member
}

// Unseen is the Seen of a [Making] for which there was no entry.
func Unseen() time.Time { return time.Unix(0, -1) }

// since is when an entry that will do was born at the earliest; zero is that none will.
func (m *Making) since() time.Time {
	if !m.Seen.IsZero() && !m.Seen.Before(m.Since) {
		return m.Seen.Add(1)
	}
	return m.Since
}

// sharers are those of whose shares of flights the making takes one: its tenant, and of
// that its client.
func (m *Making) sharers(tenant string) []string {
	if m.Client == "" {
		return []string{tenant}
	}
	return []string{tenant, tenant + " " + m.Client}
}

// Member is an entry that is made with another.
type Member struct {
	Key  Key
	Make func(ctx context.Context) (*Draft, error) // see [Making]
}

// Errors of an entry that did not come.
var (
	// ErrOnce says that the response is for its first client only: the others make their own.
	ErrOnce = errors.New("the response is not to be shared")
	// ErrCircle says that the making which the request is part of would wait for itself.
	ErrCircle = errors.New("making the entry waits for itself")
	// ErrStopped says that the cache does not run any more.
	ErrStopped = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_stopped", Message: "the platform is shutting down", Hint: "try again in a moment"}
	// ErrBusy says that as many requests as may are waiting for entries.
	ErrBusy = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_busy", Message: "too many requests are waiting for pages to be made", Hint: "try again in a moment"}
)

// flights are the entries being made.
type flights struct {
	jobs    chan func(context.Context)
	stopped chan struct{}
	making  *places
	refresh *places
	retry   time.Duration

	mu      sync.Mutex // guards below
	byKey   map[Key]*Flight
	byID    map[string]*Flight    // those of byKey that have a name
	all     *share.Shares[string] // of byKey, by tenant and client
	waiting *share.Shares[string] // of requests that wait, by tenant
	failed  map[Key]time.Time     // when a refresh may be tried again
}

// maxFailed bounds how many failed refreshes are remembered.
const maxFailed = 16384

func newFlights(o *Options) *flights {
	return &flights{
		jobs: make(chan func(context.Context)), stopped: make(chan struct{}),
		making: newPlaces(o.MaxMaking), refresh: newPlaces(o.MaxRefresh), retry: o.Retry,
		byKey: map[Key]*Flight{}, byID: map[string]*Flight{}, failed: map[Key]time.Time{},
		all: share.New[string](int64(o.MaxWaiting)), waiting: share.New[string](int64(o.MaxWaiting)),
	}
}

// run does the jobs it is handed until ctx ends, and waits for them.
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

// Make begins to make the entry of key, or joins who does. The leader, who
// began, reads the response as it comes and then calls [Flight.Leave]; the
// others [Flight.Wait]. Making goes on whether or not the leader stays. The
// error is [ErrBusy], [ErrCircle], [ErrStopped] or the cause that ended ctx.
func (c *Cache) Make(ctx context.Context, key Key, how Making) (f *Flight, leader bool, err error) {
	since := time.Time{}
	if !how.Seen.IsZero() {
		since = how.since() // no entry will do that was there when it was looked for
	}
	for {
		f, leader, err := c.join(key, how, true, since)
		switch {
		case err != nil:
			return nil, false, err
		case leader:
			return f, true, c.flights.hand(ctx, f, c.flights.making.ask(key.Tenant, key.Scope, how.Client))
		case f == nil:
			if f := c.madeSince(key, how); f != nil {
				return f, false, nil // another request that waited was quicker
			}
			since = time.Time{} // evicted already
			continue
		case !f.began.Before(how.Since):
			return f, false, nil
		}
		select {
		case <-f.landed:
			since = how.since()
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// madeSince returns the flight of the entry of key, over already, if making it
// began at how.Since or later; else nil.
func (c *Cache) madeSince(key Key, how Making) *Flight {
	e := c.Get(key)
	if e == nil {
		return nil
	}
	defer e.Close()
	if e.Born.Before(how.Since) {
		return nil
	}
	f := &Flight{c: c, key: key, how: how, began: e.Born, landed: make(chan struct{}), kept: true}
	f.leaving.Do(func() {}) // there is no leader
	close(f.landed)
	return f
}

// Refresh makes the entry of key behind everybody's back, and reports whether
// it does: not while it is being made, nor soon after that failed, nor while the
// tenant or the scope has its share of refreshes under way.
func (c *Cache) Refresh(ctx context.Context, key Key, how Making) bool {
	if c.Failed(key, time.Now()) {
		return false
	}
	p := c.flights.refresh.try(key.Tenant, key.Scope)
	if p == nil {
		return false
	}
	f, leader, err := c.join(key, how, false, how.since())
	if err != nil || !leader {
		p.leave()
		return false
	}
	f.Leave()
	return c.flights.hand(ctx, f, p) == nil
}

// Failed reports whether making the entry of key failed so recently that it is
// not refreshed at now.
func (c *Cache) Failed(key Key, now time.Time) bool {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	until, ok := c.flights.failed[key]
	return ok && now.Before(until)
}

// join returns the flight of key, and whether the caller is its leader; nil if
// there is no flight and the making of the current entry began at since or later,
// unless since is zero. waits says that the caller waits for the flight. The error
// is [ErrBusy] or [ErrCircle].
func (c *Cache) join(key Key, how Making, waits bool, since time.Time) (f *Flight, leader bool, err error) {
	s := c.scopeOf(key)
	fs := c.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var within *Flight // waits for the flight
	if waits {
		within = fs.byID[how.Within]
	}
	if f := fs.byKey[key]; f != nil {
		switch {
		case !f.awaits(within):
		case f.first != nil:
			return nil, false, ErrOnce // which its own making would not wait for
		default:
			return nil, false, ErrCircle
		}
		f.serve(within)
		return f, false, nil
	}
	// A flight that is over has shown its entry: nothing lands between this look
	// and the new flight.
	if !since.IsZero() && c.bornSince(s, key, since) {
		return nil, false, nil
	}
	if !fs.all.Take(1, how.sharers(key.Tenant)...) {
		return nil, false, ErrBusy
	}
	f = c.newFlight(s, key, how)
	fs.byKey[key] = f
	if how.ID != "" {
		fs.byID[how.ID] = f
	}
	f.serve(within)
	f.enlistLocked()
	return f, true, nil
}

func (c *Cache) newFlight(s *scope, key Key, how Making) *Flight {
	create := func() (*atomicfile.File, error) { return atomicfile.Create(c.tmp()) }
	return &Flight{
		c: c, scope: s, key: key, how: how, began: c.Now(),
		begun: make(chan struct{}), landed: make(chan struct{}), left: make(chan struct{}), urgent: make(chan struct{}),
		spool: newSpool(c.o.MaxInline, c.o.MaxBody, create),
	}
}

// hand has run make f's entry, once it has a place, which it leaves in the end.
func (fs *flights) hand(ctx context.Context, f *Flight, p *place) (err error) {
	job := func(ctx context.Context) {
		defer f.spool.release()
		defer p.leave()
		select {
		case <-p.granted:
			f.fly(ctx)
		case <-f.urgent:
			p.leave()
			f.fly(ctx)
		case <-ctx.Done():
			f.settle(nil, ErrStopped, false)
		}
		f.flyGroup(ctx)
	}
	var toOthers error
	select {
	case fs.jobs <- job:
		return nil
	case <-fs.stopped:
		err, toOthers = ErrStopped, ErrStopped
	case <-ctx.Done(): // which concerns nobody else
		err, toOthers = context.Cause(ctx), ErrOnce
	}
	p.leave()
	f.settle(nil, toOthers, false)
	f.disband(toOthers)
	f.spool.release()
	f.Leave()
	return err
}

// settled notes that f has ended, and whether its entry was kept.
func (fs *flights) settled(f *Flight, kept bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.byKey, f.key)
	delete(fs.byID, f.how.ID)
	f.unbind()
	fs.all.Give(1, f.how.sharers(f.key.Tenant)...)
	switch {
	case kept:
		delete(fs.failed, f.key)
		return
	case f.draft == nil && errors.Is(f.err, ErrOnce): // no attempt was made
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

// Flight is an entry being made.
type Flight struct {
	c     *Cache
	scope *scope // as it was when making began: once it is dropped, nothing is kept
	key   Key
	how   Making
	began time.Time
	spool *spool

	begun  chan struct{} // closed once draft is set, or without it with landed
	landed chan struct{} // closed once entry and err are set
	left   chan struct{} // closed once the leader reads no more
	urgent chan struct{} // closed once another flight waits for this one

	settled sync.Once
	leaving sync.Once
	hurry   sync.Once

	first *Flight   // with which this one is made, as one of its group; nil for one that is made for itself
	group []*Flight // that are made with this one

	// Guarded by [flights].mu: flights that this one waits for, and that wait for it.
	asked, askers map[*Flight]struct{}

	draft *Draft
	entry *Entry // for those who wait, its body in memory; nil: it is to be got from the cache
	kept  bool
	err   error
}

// Head waits for the header of the response. The draft's own body is not to be
// read. It is the leader's.
func (f *Flight) Head(ctx context.Context) (*Draft, error) {
	select {
	case <-f.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.draft == nil {
		return nil, f.err
	}
	return f.draft, nil
}

// Body reads the body as it comes, from its start. Closing it is to leave, and
// so is the end of ctx. It is the leader's.
func (f *Flight) Body(ctx context.Context) io.ReadCloser {
	// Whoever waits for a body that is too large to be held waits for its sender.
	stop := context.AfterFunc(ctx, f.Leave)
	return &follower{ctx: ctx, spool: f.spool, close: func() { stop(); f.Leave() }}
}

// Grouped reports whether the entry is made with another, which somebody asked for.
func (f *Flight) Grouped() bool { return f.first != nil }

// Kept reports whether the entry has been kept, once it has been waited for.
func (f *Flight) Kept() bool { return f.kept }

// Leave says that the leader reads no more.
func (f *Flight) Leave() {
	f.leaving.Do(func() {
		close(f.left)
		f.spool.release()
	})
}

// Wait returns the complete entry, to be closed. The error is [ErrBusy],
// [ErrOnce], [ErrStopped], the maker's or the cause that ended ctx.
func (f *Flight) Wait(ctx context.Context) (*Entry, error) {
	fs := f.c.flights
	if !fs.wait(f.key.Tenant) {
		return nil, ErrBusy
	}
	defer fs.waited(f.key.Tenant)
	select {
	case <-f.landed:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil || f.entry != nil {
		return f.entry, f.err
	}
	if e := f.c.Get(f.key); e != nil {
		return e, nil
	}
	return nil, ErrOnce // it is gone already
}

// wait takes note of a request of a tenant that waits, and reports whether it may.
func (fs *flights) wait(tenant string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.waiting.Take(1, tenant)
}

// waited takes note of the end of a wait.
func (fs *flights) waited(tenant string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.waiting.Give(1, tenant)
}

// fly makes the entry.
func (f *Flight) fly(ctx context.Context) {
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			f.c.o.Log.Error("making a page panicked", "deployment_id", f.key.Scope, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			f.settle(nil, fmt.Errorf("making a page panicked: %v", r), false)
			f.spool.finish(f.err, nil)
		}
	}()
	draft, err := f.how.Make(ctx)
	if err != nil {
		f.settle(nil, err, false)
		return
	}
	defer draft.Body.Close()
	draft.Entry.Born, draft.Entry.Kept = f.began, time.Now()
	f.draft = draft
	close(f.begun)
	if draft.Use == Once {
		f.settle(nil, ErrOnce, false)
		watch.Go(func() { f.cut(ctx, cancel) })
	}
	switch err := f.spool.fill(draft.Body); {
	case err == nil:
		f.land()
	case f.spool.rest == nil:
		f.settle(nil, err, false)
	default: // the leader has the rest to itself
		f.settle(nil, ErrOnce, false)
		select {
		case <-f.left:
		case <-ctx.Done():
		}
	}
}

// cut ends a response that nobody reads any more.
func (f *Flight) cut(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-f.left:
		cancel()
	case <-ctx.Done():
	}
}

// land gives the complete response to those who are to have it. An entry in
// memory is theirs before it is on disk, unless they asked for a durable one.
func (f *Flight) land() {
	e := f.draft.Entry.clone()
	e.Born, e.Kept = f.began, time.Now()
	f.spool.describe(e)
	kept := f.draft.Use == Kept
	if kept {
		f.c.spread(f.scope, e, f.how.Spread)
		f.c.show(f.scope, f.key, e)
		if e.inline() && !f.how.Durable {
			f.settle(e, nil, true)
		}
		kept = f.store(e)
	}
	switch {
	case e.inline():
		f.settle(e, nil, kept)
	case kept:
		f.settle(nil, nil, true)
	default:
		f.settle(nil, ErrOnce, false)
	}
}

// store keeps e on disk and reports whether that went well.
func (f *Flight) store(e *Entry) bool {
	err := f.c.keep(f.scope, f.key, e, f.spool)
	if err != nil && !errors.Is(err, errDropped) {
		f.c.o.Log.Error("a page cannot be kept", "deployment_id", f.key.Scope, "err", err)
	}
	return err == nil
}

// spread makes the older members of e's group stale or expired. It comes before
// e is there: should that fail, they are made anew too early and not too late.
func (c *Cache) spread(s *scope, e *Entry, how Spread) {
	if s == nil || e.Group == "" {
		return
	}
	switch how {
	case SpreadExpired:
		if err := c.invalidate(s, []string{groupName(e.Group)}, e.Born.UnixNano(), 0); err != nil {
			c.o.Log.Error("a group made anew may not survive a restart", "deployment_id", filepath.Base(s.dir), "err", err)
		}
	case SpreadStale:
		s.marks.wave(e.Group, e.Born)
	case SpreadNone:
	}
}

// settle ends the wait for f; the first call counts.
func (f *Flight) settle(e *Entry, err error, kept bool) {
	f.settled.Do(func() {
		f.entry, f.kept, f.err = e, kept, err
		f.c.flights.settled(f, kept)
		if f.draft == nil {
			close(f.begun)
		}
		close(f.landed)
	})
}
