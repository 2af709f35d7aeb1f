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

// Use says which requests a response may answer.
type Use int

// The uses of a response.
const (
	Once   Use = iota // only the request that started the cache fill
	Shared            // also the requests that wait for it: an error response, for example
	Kept              // also later requests
)

// Spread is the effect of a new entry on the older members of its group.
type Spread int

// The spreads.
const (
	SpreadNone    Spread = iota // no effect: the entry was missing, or the members are as stale as it was
	SpreadStale                 // they become stale
	SpreadExpired               // they expire
)

// Draft is a response whose header is complete and whose body may still be arriving.
// The cache sets the remaining fields of the entry.
type Draft struct {
	Entry  *Entry // Status, Header, Tags, Group, Fresh and Usable
	Body   io.ReadCloser
	Length int64 // length of the body; negative is unknown
	Use    Use
}

// Making configures a cache fill.
type Making struct {
	// Make requests the response. It is called once, with a context that ends with
	// the cache's Run and not with the context of any client.
	Make   func(ctx context.Context) (*Draft, error)
	Spread Spread
	// Durable makes all waiting requests wait until the entry is on disk.
	Durable bool
	// Since is the earliest acceptable start of the cache fill, by [Cache.Now]. The
	// request waits for a fill that started before, and then starts another. Zero
	// accepts any start.
	Since time.Time

	// Seen is the Born time of the entry that the caller found and cannot use, or
	// [Unseen] if it found none: an entry that was stored between that lookup and
	// the cache fill is used. Zero means that the caller did not look.
	Seen time.Time

	// ID names the cache fill in the requests that it sends in turn; "" is no name.
	// Within is the ID of the cache fill that sent the request and waits for this
	// one; "" is none. IDs are secrets.
	ID, Within string

	// Client is the client that requested the entry. The clients of a tenant divide
	// the cache fills of the tenant, and their fills of a scope start in turn. "" is
	// no particular client.
	Client string

	// Group lists further entries that the same run fills. Each is filled after this
	// entry has been stored, one after the other, unless it has a flight already.
	Group []Member
}

// Unseen is the Seen of a [Making] whose caller found no entry.
func Unseen() time.Time { return time.Unix(0, -1) }

// since is the earliest Born time of an acceptable entry; zero means that no entry
// is acceptable.
func (m *Making) since() time.Time {
	if !m.Seen.IsZero() && !m.Seen.Before(m.Since) {
		return m.Seen.Add(1)
	}
	return m.Since
}

// waitContext returns a context that ends when the request of ctx no longer wants the
// cache fill. For a durable entry it does not end: the requests for one may
// disconnect before it is stored.
func (m *Making) waitContext(ctx context.Context) context.Context {
	if m.Durable {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// shareOwners are the owners of the shares that the cache fill counts against: its
// tenant, and its client within that share.
func (m *Making) shareOwners(tenant string) []string {
	if m.Client == "" {
		return []string{tenant}
	}
	return []string{tenant, tenant + " " + m.Client}
}

// Member is an entry that is filled together with another.
type Member struct {
	Key  Key
	Make func(ctx context.Context) (*Draft, error) // see [Making]
}

// Errors of a cache fill without an entry.
var (
	// ErrOnce means that the response is for its first client only: the other
	// requests start their own cache fills.
	ErrOnce = errors.New("the response is for its first client only")
	// ErrCircle means that the cache fill which sent the request would wait for
	// itself.
	ErrCircle = errors.New("the cache fill would wait for itself")
	// ErrStopped means that the cache has stopped.
	ErrStopped = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_stopped", Message: "the platform is shutting down", Hint: "try again in a moment"}
	// ErrBusy means that the maximum number of requests waits for entries.
	ErrBusy = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_busy", Message: "too many requests are waiting for cached pages", Hint: "try again in a moment"}
)

// flights holds the running and queued cache fills.
type flights struct {
	jobs    chan func(context.Context)
	stopped chan struct{}
	making  *places
	refresh *places
	retry   time.Duration

	mu      sync.Mutex // guards the fields below
	byKey   map[Key]*Flight
	byID    map[string]*Flight    // flights of byKey with an ID
	all     *share.Shares[string] // shares of byKey, by tenant and client
	waiting *share.Shares[string] // shares of the waiting requests, by tenant
	failed  map[Key]time.Time     // end of the pause after a failed refresh
}

// maxFailed bounds the number of remembered failed refreshes.
const maxFailed = 16384

func newFlights(o *Options) *flights {
	return &flights{
		jobs: make(chan func(context.Context)), stopped: make(chan struct{}),
		making: newPlaces(o.MaxMaking), refresh: newPlaces(o.MaxRefresh), retry: o.Retry,
		byKey: map[Key]*Flight{}, byID: map[string]*Flight{}, failed: map[Key]time.Time{},
		all: share.New[string](int64(o.MaxWaiting)), waiting: share.New[string](int64(o.MaxWaiting)),
	}
}

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

// Make starts the cache fill of key, or joins the flight of key. The leader, which
// started the fill, reads the response as it arrives and then calls [Flight.Leave];
// the other requests call [Flight.Wait]. A started fill continues without its
// leader; a queued one is dropped once no request waits for it, unless the entry is
// to be durable. The error is [ErrBusy], [ErrCircle], [ErrStopped] or the cause that
// ended ctx.
func (c *Cache) Make(ctx context.Context, key Key, how Making) (f *Flight, leader bool, err error) {
	since := time.Time{}
	if !how.Seen.IsZero() {
		since = how.since() // an entry that existed at the caller's lookup is not acceptable
	}
	for {
		f, leader, err := c.join(how.waitContext(ctx), key, how, true, since)
		switch {
		case err != nil:
			return nil, false, err
		case leader:
			return f, true, c.flights.dispatch(ctx, f, c.flights.making.acquire(key.Tenant, key.Scope, how.Client))
		case f == nil:
			if f := c.madeSince(key, how); f != nil {
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
func (c *Cache) madeSince(key Key, how Making) *Flight {
	e := c.Get(key)
	if e == nil {
		return nil
	}
	defer e.Close()
	if e.Born.Before(how.Since) {
		return nil
	}
	f := &Flight{c: c, key: key, how: how, began: e.Born, done: make(chan struct{}), kept: true}
	f.leaving.Do(func() {}) // there is no leader
	close(f.done)
	return f
}

// Refresh starts a cache fill of key in the background, and reports whether it did.
// It does not while key has a flight, during the pause after a failure, and while
// the tenant or the scope uses its whole share of refreshes.
func (c *Cache) Refresh(ctx context.Context, key Key, how Making) bool {
	if c.Failed(key, time.Now()) {
		return false
	}
	p := c.flights.refresh.tryAcquire(key.Tenant, key.Scope)
	if p == nil {
		return false
	}
	f, leader, err := c.join(context.WithoutCancel(ctx), key, how, false, how.since())
	if err != nil || !leader {
		p.release()
		return false
	}
	f.Leave()
	return c.flights.dispatch(ctx, f, p) == nil
}

// Failed reports whether the pause after a failed cache fill of key lasts at now.
func (c *Cache) Failed(key Key, now time.Time) bool {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	until, ok := c.flights.failed[key]
	return ok && now.Before(until)
}

// join returns the flight of key, and whether the caller is its leader. It returns
// nil if key has no flight and the cache fill of the current entry started at since
// or later; a zero since skips this check. waits means that the caller waits for the
// flight, which counts as awaited until ctx ends. The error is [ErrBusy] or [ErrCircle].
func (c *Cache) join(ctx context.Context, key Key, how Making, waits bool, since time.Time) (f *Flight, leader bool, err error) {
	s := c.scopeOf(key)
	fs := c.flights
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
			return nil, false, ErrOnce // a fill of its own would not wait for the group
		default:
			return nil, false, ErrCircle
		}
		f.addWait(within)
		if waits {
			f.awaitLocked(ctx)
		}
		return f, false, nil
	}
	// An ended flight has published its entry: none is stored between this lookup
	// and the new flight.
	if !since.IsZero() && c.bornSince(s, key, since) {
		return nil, false, nil
	}
	if !fs.all.Take(1, how.shareOwners(key.Tenant)...) {
		return nil, false, ErrBusy
	}
	f = c.newFlight(s, key, how)
	fs.byKey[key] = f
	if how.ID != "" {
		fs.byID[how.ID] = f
	}
	f.addWait(within)
	f.awaitLocked(ctx)
	f.startGroupLocked()
	return f, true, nil
}

func (c *Cache) newFlight(s *scope, key Key, how Making) *Flight {
	create := func() (*atomicfile.File, error) { return atomicfile.Create(c.tmp()) }
	return &Flight{
		c: c, scope: s, key: key, how: how, began: c.Now(),
		begun: make(chan struct{}), done: make(chan struct{}), left: make(chan struct{}), urgent: make(chan struct{}), abandoned: make(chan struct{}),
		spool: newSpool(c.o.MaxInline, c.o.MaxBody, create),
	}
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
			f.end(nil, ErrOnce, false)
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
		err, toOthers = context.Cause(ctx), ErrOnce
	}
	p.release()
	f.end(nil, toOthers, false)
	f.failGroup(toOthers)
	f.spool.release()
	f.Leave()
	return err
}

// remove removes f, which has ended; kept reports whether its entry was stored.
func (fs *flights) remove(f *Flight, kept bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.byKey, f.key)
	delete(fs.byID, f.how.ID)
	f.removeWaits()
	fs.all.Give(1, f.how.shareOwners(f.key.Tenant)...)
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

// Flight is a cache fill of one entry.
type Flight struct {
	c     *Cache
	scope *scope // scope at the start of the fill; once it is dropped, the result is not stored
	key   Key
	how   Making
	began time.Time
	spool *spool

	begun  chan struct{} // closed once draft is set, or without a draft together with done
	done   chan struct{} // closed once entry and err are set
	left   chan struct{} // closed once the leader has stopped reading
	urgent chan struct{} // closed once another flight waits for this one

	abandoned chan struct{} // closed once no request waits for this flight

	ended   sync.Once
	leaving sync.Once
	hurry   sync.Once
	abandon sync.Once

	first *Flight   // flight whose group this one belongs to; nil for a flight of its own
	group []*Flight // flights of the group that follow this one

	// Guarded by [flights].mu: flights that this one waits for, and flights that
	// wait for it.
	waitsFor, waitedBy map[*Flight]struct{}
	awaited            int // requests that wait for the flight and its group; guarded by [flights].mu

	draft *Draft
	entry *Entry // entry for the waiting requests, with its body in memory; nil: the cache has it
	kept  bool
	err   error
}

// Head waits for the header of the response. Only the leader calls it, and it does
// not read the draft's own body.
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

// Body reads the body from its start as it arrives. Only the leader calls it.
// Closing the body calls Leave, and so does the end of ctx.
func (f *Flight) Body(ctx context.Context) io.ReadCloser {
	// The flight waits for the reader of a body that is too large to store.
	stop := context.AfterFunc(ctx, f.Leave)
	return &follower{ctx: ctx, spool: f.spool, close: func() { stop(); f.Leave() }}
}

// Grouped reports whether the entry is filled together with another, requested
// entry.
func (f *Flight) Grouped() bool { return f.first != nil }

// Kept reports whether the entry was stored. It is valid once the flight has ended.
func (f *Flight) Kept() bool { return f.kept }

// Leave ends the leader's reading.
func (f *Flight) Leave() {
	f.leaving.Do(func() {
		close(f.left)
		f.spool.release()
	})
}

// run executes the cache fill.
func (f *Flight) run(ctx context.Context) {
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			f.c.o.Log.Error("cache fill panicked", "deployment_id", f.key.Scope, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			f.end(nil, fmt.Errorf("cache fill panicked: %v", r), false)
			f.spool.finish(f.err, nil)
		}
	}()
	draft, err := f.how.Make(ctx)
	if err != nil {
		f.end(nil, err, false)
		return
	}
	defer draft.Body.Close()
	draft.Entry.Born, draft.Entry.Kept = f.began, time.Now()
	f.draft = draft
	close(f.begun)
	if draft.Use == Once {
		f.end(nil, ErrOnce, false)
		watch.Go(func() { f.cancelUnread(ctx, cancel) })
	}
	switch err := f.spool.fill(draft.Body); {
	case err == nil:
		f.publish()
	case f.spool.rest == nil:
		f.end(nil, err, false)
	default: // only the leader reads the rest
		f.end(nil, ErrOnce, false)
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
	e := f.draft.Entry.clone()
	e.Born, e.Kept = f.began, time.Now()
	f.spool.describe(e)
	kept := f.draft.Use == Kept
	if kept {
		f.c.spread(f.scope, e, f.how.Spread)
		f.c.publish(f.scope, f.key, e)
		if e.inline() && !f.how.Durable {
			f.end(e, nil, true)
		}
		kept = f.store(e)
	}
	switch {
	case e.inline():
		f.end(e, nil, kept)
	case kept:
		f.end(nil, nil, true)
	default:
		f.end(nil, ErrOnce, false)
	}
}

// store writes e to disk and reports success.
func (f *Flight) store(e *Entry) bool {
	err := f.c.store(f.scope, f.key, e, f.spool)
	if err != nil && !errors.Is(err, errDropped) {
		f.c.o.Log.Error("could not store a cached page", "deployment_id", f.key.Scope, "err", err)
	}
	return err == nil
}

// spread makes the older members of e's group stale or expired. It runs before e is
// stored: if storing fails, the members are regenerated too early rather than too
// late.
func (c *Cache) spread(s *scope, e *Entry, how Spread) {
	if s == nil || e.Group == "" {
		return
	}
	switch how {
	case SpreadExpired:
		if err := c.invalidate(s, []string{groupName(e.Group)}, e.Born.UnixNano(), 0); err != nil {
			c.o.Log.Error("could not save the invalidation of a group", "deployment_id", filepath.Base(s.dir), "err", err)
		}
	case SpreadStale:
		s.marks.markRegenerated(e.Group, e.Born)
	case SpreadNone:
	}
}

// end ends the flight; only the first call has an effect.
func (f *Flight) end(e *Entry, err error, kept bool) {
	f.ended.Do(func() {
		f.entry, f.kept, f.err = e, kept, err
		f.c.flights.remove(f, kept)
		if f.draft == nil {
			close(f.begun)
		}
		close(f.done)
	})
}
