// Package observe keeps what requests leave behind, their records and the
// lines that functions write, for a while, to be searched and followed.
package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// What is kept of a function's lines; more is cut off and marked.
const (
	MaxLineBytes    = 256 << 10 // of one line
	MaxRequestLines = 256       // of one request
	MaxRequestBytes = 1 << 20   // of all lines of one request
)

// Options say where logs are kept and for how long.
type Options struct {
	Dir      string        // made if it is not there
	MaxBytes int64         // size of the database on disk; the oldest entries go first; 0: 1 GiB
	MaxAge   time.Duration // age of the oldest entry; 0: 7 days
	Log      *slog.Logger  // of the platform itself; nil: none
}

// Log is the log of all tenants. It takes records and lines without ever
// blocking, at the price of dropping some when more come than it can write.
// What it has taken can be read within 200 ms. A crash of the machine may cost
// the last moments, and a damaged database is set aside, not repaired: nothing
// of the platform depends on its logs.
//
// Its methods may be called concurrently.
type Log struct {
	options Options
	queue   queue
	readers readers
	size    atomic.Int64 // bytes of the database that are in use
	head    atomic.Int64 // number of the batch that was written last

	// Run's own:
	failing bool // the last write failed
	gone    bool // the database was damaged and there is no other yet

	mu sync.RWMutex // guards below, which Run alone changes
	db *database
}

// Open opens the log. Close it when Run has ended.
func Open(ctx context.Context, o Options) (*Log, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxAge == 0 {
		o.MaxAge = 7 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log directory: %w", err)
	}
	db, err := openDatabase(ctx, o.Dir, o.Log)
	if err != nil {
		return nil, err
	}
	l := &Log{options: o, queue: newQueue(), db: db}
	db.gone = l.readers.removed
	head, err := db.lastBatch(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l.head.Store(head)
	return l, nil
}

// Close closes the database.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.Close()
}

// Record takes what a request leaves behind, once it has ended.
func (l *Log) Record(r lateen.Record) {
	r.Path, r.UserAgent, r.Referer = cut(r.Path, maxHeader), cut(r.UserAgent, maxHeader), cut(r.Referer, maxHeader)
	text, err := json.Marshal(&r)
	if err != nil {
		panic(err) // a record holds nothing that JSON cannot say
	}
	l.queue.addRecord(&r, text)
}

// maxHeader bounds what a client's request can put into a record.
const maxHeader = 4 << 10

// Log takes a line. The lines of a request may come before its record and
// after it. A level that is none of lateen's becomes info.
func (l *Log) Log(line lateen.LogLine) {
	if len(line.Text) > MaxLineBytes {
		line.Text, line.Truncated = cut(line.Text, MaxLineBytes), true
	}
	if levelBit(line.Level) == 0 {
		line.Level = lateen.LevelInfo
	}
	l.queue.addLine(line)
}

const (
	flushPause = 100 * time.Millisecond // collects what is written together
	trimPause  = time.Minute
)

// Run writes what the log takes until ctx ends, and then what is left. What
// comes afterwards is dropped.
func (l *Log) Run(ctx context.Context) error {
	defer l.readers.close()
	trim := time.NewTimer(0)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			l.queue.close()
			l.flush(context.WithoutCancel(ctx))
			return nil
		case <-trim.C:
			trim.Reset(l.trim(ctx))
		case <-l.queue.some:
			select {
			case <-ctx.Done():
			case <-l.queue.much:
			case <-time.After(flushPause):
			}
			l.flush(context.WithoutCancel(ctx))
			l.fit(ctx)
		}
	}
}

// flush writes what was taken since the last time and tells the readers.
func (l *Log) flush(ctx context.Context) {
	b := l.queue.take()
	if len(b.groups) == 0 {
		return
	}
	// Numbers are taken from the clock, so that none repeats after the newest
	// entries were removed and the program began again.
	number := max(l.head.Load()+1, int64(lateen.MillisOf(time.Now())))
	projects, err := l.db.write(ctx, b, number)
	if err != nil {
		l.queue.dropped(b)
		l.failed(ctx, "logs were dropped", err)
		return
	}
	l.failing = false
	l.head.Store(number)
	l.readers.tell(projects)
	if used, _, err := l.db.size(ctx); err == nil {
		l.size.Store(used)
	}
}

// fit removes entries until the log is no larger than it may be. Nothing is
// written meanwhile: what comes waits in the queue, which has a bound.
func (l *Log) fit(ctx context.Context) {
	for before := int64(math.MaxInt64); l.size.Load() > l.options.MaxBytes && l.size.Load() < before && ctx.Err() == nil; {
		before = l.size.Load()
		l.trim(ctx)
	}
}

// trim removes some of the entries that are too old or too many and returns
// when to go on.
func (l *Log) trim(ctx context.Context) time.Duration {
	oldest := lateen.MillisOf(time.Now().Add(-l.options.MaxAge))
	more, err := l.db.trim(ctx, l.options.MaxBytes, oldest)
	if err != nil && ctx.Err() == nil {
		l.failed(ctx, "old logs were not removed", err)
	}
	if used, _, err := l.db.size(ctx); err == nil {
		l.size.Store(used)
	}
	if more {
		return flushPause
	}
	return trimPause
}

// failed reports the first of several failures and, where the database is
// damaged, begins a new one.
func (l *Log) failed(ctx context.Context, what string, err error) {
	if !l.failing {
		l.options.Log.ErrorContext(ctx, "the log database failed", "action", what, "err", err)
	}
	l.failing = true
	if !sqlite.Damaged(err) && !l.gone {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.db.Close()
	_ = setAside(l.options.Dir) // if it can't, neither can the next line
	db, err := openDatabase(ctx, l.options.Dir, l.options.Log)
	if l.gone = err != nil; !l.gone {
		db.gone = l.readers.removed
		l.db = db
	}
}

// Stats are counts since the log was opened, and its state now.
type Stats struct {
	Records, Lines               uint64 // that came
	DroppedRecords, DroppedLines uint64 // of them, that could not be kept
	LostEntries                  uint64 // that were removed before slow readers of Tail came to them
	Queued, QueuedBytes          int    // records and lines that are not written yet
	Bytes                        int64  // of the database that are in use
	Readers                      int    // of Tail
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	s := l.queue.stats()
	s.Bytes = l.size.Load()
	s.Readers, s.LostEntries = l.readers.stats()
	return s
}
