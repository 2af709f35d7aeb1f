// Package observe stores the records of requests and the lines that functions write,
// for a limited time. Callers search and follow them.
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

// Limits of a function's lines; longer text is truncated and marked.
const (
	MaxLineBytes    = 256 << 10 // of one line
	MaxRequestLines = 256       // of one request
	MaxRequestBytes = 1 << 20   // of all lines of one request
)

// Options are the place and the retention of logs.
type Options struct {
	Dir      string        // created if it does not exist
	MaxBytes int64         // size of the database on disk; the oldest entries are removed first; 0: 1 GiB
	MaxAge   time.Duration // age of the oldest entry; 0: 7 days
	Log      *slog.Logger  // log of the platform itself; nil: none
}

// Log is the log of all tenants. It accepts records and lines without blocking, and
// drops some if more arrive than it can write. Accepted entries can be read within
// 200 ms. A crash of the machine may lose the entries of the last seconds. A damaged
// database is moved aside, not repaired: no other component reads the log.
//
// Its methods are safe for concurrent use.
type Log struct {
	options Options
	queue   queue
	readers readers
	size    atomic.Int64 // bytes in use in the database
	head    atomic.Int64 // number of the last written batch

	// Only used by Run:
	failing  bool // whether the last write failed
	unusable bool // whether the database was damaged and is not replaced yet

	mu sync.RWMutex // guards the fields below, which only Run changes
	db *database
}

// Open opens the log. It must be closed after Run has ended.
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
	db.onRemove = l.readers.removed
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

// Record accepts the record of a request that has ended.
func (l *Log) Record(r lateen.Record) {
	r.Path, r.UserAgent, r.Referer = truncate(r.Path, maxHeader), truncate(r.UserAgent, maxHeader), truncate(r.Referer, maxHeader)
	text, err := json.Marshal(&r)
	if err != nil {
		panic(err) // a record contains only values that JSON can express
	}
	l.queue.addRecord(&r, text)
}

// maxHeader limits the parts of a record that a client's request controls.
const maxHeader = 4 << 10

// Log accepts a line. The lines of a request may arrive before and after its record.
// An unknown level becomes info.
func (l *Log) Log(line lateen.LogLine) {
	if len(line.Text) > MaxLineBytes {
		line.Text, line.Truncated = truncate(line.Text, MaxLineBytes), true
	}
	if levelBit(line.Level) == 0 {
		line.Level = lateen.LevelInfo
	}
	l.queue.addLine(line)
}

const (
	flushPause = 100 * time.Millisecond // time for which entries are collected for one write
	trimPause  = time.Minute            // interval of trims
)

// Run writes accepted entries until ctx ends, and then those that are still queued.
// Later entries are dropped.
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
		case <-l.queue.nonEmpty:
			select {
			case <-ctx.Done():
			case <-l.queue.large:
			case <-time.After(flushPause):
			}
			l.flush(context.WithoutCancel(ctx))
			l.trimToLimit(ctx)
		}
	}
}

// flush writes the entries accepted since the last call and notifies the readers.
func (l *Log) flush(ctx context.Context) {
	b := l.queue.take()
	if len(b.groups) == 0 {
		return
	}
	// Numbers are based on the clock, so that none repeats if the newest entries are
	// removed and the program restarts.
	number := max(l.head.Load()+1, int64(lateen.MillisOf(time.Now())))
	projects, err := l.db.write(ctx, b, number)
	if err != nil {
		l.queue.dropped(b)
		l.failed(ctx, "logs were dropped", err)
		return
	}
	l.failing = false
	l.head.Store(number)
	l.readers.notify(projects)
	if used, _, err := l.db.size(ctx); err == nil {
		l.size.Store(used)
	}
}

// trimToLimit removes entries until the log is within its limit of size. Run writes
// nothing in the meantime; new entries wait in the queue, which is bounded.
func (l *Log) trimToLimit(ctx context.Context) {
	for before := int64(math.MaxInt64); l.size.Load() > l.options.MaxBytes && l.size.Load() < before && ctx.Err() == nil; {
		before = l.size.Load()
		l.trim(ctx)
	}
}

// trim removes some of the entries beyond the limits of age and size, and returns
// the time until the next call.
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

// failed logs the first of several failures. If the database is damaged, it creates
// a new one.
func (l *Log) failed(ctx context.Context, effect string, err error) {
	if !l.failing {
		l.options.Log.ErrorContext(ctx, "the log database failed", "effect", effect, "err", err)
	}
	l.failing = true
	if !sqlite.Damaged(err) && !l.unusable {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.db.Close()
	_ = moveAside(l.options.Dir) // on an error openDatabase fails as well
	db, err := openDatabase(ctx, l.options.Dir, l.options.Log)
	if l.unusable = err != nil; !l.unusable {
		db.onRemove = l.readers.removed
		l.db = db
	}
}

// Stats are counts since the log was opened, and its current state.
type Stats struct {
	Records, Lines               uint64 // records and lines that arrived
	DroppedRecords, DroppedLines uint64 // those of them that were not stored
	LostEntries                  uint64 // entries removed before slow readers of Tail read them
	Queued, QueuedBytes          int    // records and lines that are not written yet
	Bytes                        int64  // bytes in use in the database
	Readers                      int    // readers of Tail
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	s := l.queue.stats()
	s.Bytes = l.size.Load()
	s.Readers, s.LostEntries = l.readers.stats()
	return s
}
