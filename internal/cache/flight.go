package cache

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/share"
)

// flights holds the running and queued cache fills.
type flights struct {
	storage *storage
	jobs    chan func(context.Context)
	stopped chan struct{}
	fills   *places
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

func newFlights(st *storage) *flights {
	o := &st.o
	return &flights{
		storage: st,
		jobs:    make(chan func(context.Context)), stopped: make(chan struct{}),
		fills: newPlaces(o.MaxFills), refresh: newPlaces(o.MaxRefresh), retry: o.Retry,
		byKey: map[Key]*Flight{}, byID: map[string]*Flight{}, failed: map[Key]time.Time{},
		all: share.New[string](int64(o.MaxWaiting)), waiting: share.New[string](int64(o.MaxWaiting)),
	}
}

// Flight is a cache fill of one entry.
type Flight struct {
	fs    *flights
	scope *scope // scope at the start of the fill; once it is dropped, the result is not stored
	key   Key
	fill  Fill
	began time.Time
	spool *spool

	begun  chan struct{} // closed once response is set, or without one together with done
	done   chan struct{} // closed once entry and err are set
	left   chan struct{} // closed once the leader has stopped reading
	urgent chan struct{} // closed once another flight waits for this one

	abandoned chan struct{} // closed once no request waits for this flight

	ended      sync.Once
	leaving    sync.Once
	urgentOnce sync.Once
	abandon    sync.Once

	first *Flight   // flight whose group this one belongs to; nil for a flight of its own
	group []*Flight // flights of the group that follow this one

	// Guarded by [flights].mu: flights that this one waits for, and flights that
	// wait for it.
	waitsFor, waitedBy map[*Flight]struct{}
	awaited            int // requests that wait for the flight and its group; guarded by [flights].mu

	response *Response
	entry    *Entry // entry for the waiting requests, with its body in memory; nil: the cache has it
	stored   bool
	err      error
}

// Head waits for the header of the response. Only the leader calls it, and it does
// not read the body of that response.
func (f *Flight) Head(ctx context.Context) (*Response, error) {
	select {
	case <-f.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.response == nil {
		return nil, f.err
	}
	return f.response, nil
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

// Stored reports whether the entry was stored. It is valid once the flight has ended.
func (f *Flight) Stored() bool { return f.stored }

// Leave ends the leader's reading.
func (f *Flight) Leave() {
	f.leaving.Do(func() {
		close(f.left)
		f.spool.release()
	})
}

func (fs *flights) newFlight(s *scope, key Key, how Fill) *Flight {
	create := func() (*atomicfile.File, error) { return atomicfile.Create(fs.storage.tmp()) }
	return &Flight{
		fs: fs, scope: s, key: key, fill: how, began: fs.storage.now(),
		begun: make(chan struct{}), done: make(chan struct{}), left: make(chan struct{}), urgent: make(chan struct{}), abandoned: make(chan struct{}),
		spool: newSpool(fs.storage.o.MaxInline, fs.storage.o.MaxBody, create),
	}
}
