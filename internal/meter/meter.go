// Package meter writes the usage of instances to the store, by function and hour.
package meter

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/pause"
	"github.com/lateen-dev/lateen/internal/store"
)

// Store is the part of [store.Store] that a meter needs.
type Store interface {
	AddUsage(ctx context.Context, b store.UsageBatch) error
}

// Options are the options of a [Meter].
type Options struct {
	Store Store
	Log   *slog.Logger // nil discards
	// Rows is the maximum number of rows in memory while the store takes none; 0 is
	// 50,000, about 20 MB. A row is the usage of a function of a deployment in an
	// hour. At the maximum, usage is added to an existing row of the same function,
	// of another hour; without one, to a row of the project.
	Rows int
	// Delay is the time between a sample and its write; 0 is 5 seconds.
	Delay time.Duration
}

const (
	batchRows   = 500              // maximum rows of one transaction
	retryEvery  = 10 * time.Second // time after which a failed write is tried again
	flushWithin = 5 * time.Second  // time limit of the last writes, when the platform stops
)

// Meter collects usage samples and writes them. It implements engine.UsageSink.
type Meter struct {
	o      Options
	writer string
	wake   chan struct{} // has an element if there may be rows

	// batch is the one that is being written. After a failure its result is unknown,
	// so it is tried again unchanged. Only the goroutine of Run uses it.
	batch store.UsageBatch

	mu      sync.Mutex
	rows    map[rowKey]*lateen.UsageHour
	latest  map[functionKey]lateen.Millis // latest hour among the rows of a function
	stats   Stats
	failing bool // the last write failed
}

// functionKey identifies a function of a deployment; only Project is set for a row
// of a project.
type functionKey struct {
	project    lateen.ProjectID
	deployment lateen.DeploymentID
	function   string
}

type rowKey struct {
	functionKey

	hour lateen.Millis
}

// Stats describes the work of a meter.
type Stats struct {
	Pending   int   // rows in memory that are not stored
	Coalesced int64 // samples that were added to another hour or to their project, because of Options.Rows
	Failures  int64 // failed writes
}

// New returns a meter without samples.
func New(o Options) *Meter {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Rows, o.Delay = cmp.Or(o.Rows, 50_000), cmp.Or(o.Delay, 5*time.Second)
	return &Meter{
		o: o, writer: lateen.NewID[string]("uwr_", time.Now()), wake: make(chan struct{}, 1),
		rows: map[rowKey]*lateen.UsageHour{}, latest: map[functionKey]lateen.Millis{},
	}
}

// AddUsage adds a sample to the rows in memory. It does not wait for the store.
func (m *Meter) AddUsage(s lateen.UsageSample) {
	m.mu.Lock()
	for _, part := range s.Hours() {
		m.addLocked(part)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Meter) addLocked(u lateen.UsageHour) {
	fn := functionKey{u.Project, u.Deployment, u.Function}
	key := rowKey{fn, u.Hour}
	if m.rows[key] == nil && len(m.rows) >= m.o.Rows {
		m.stats.Coalesced++
		hour, ok := m.latest[fn]
		if !ok {
			u.Deployment, u.Function = "", ""
			fn = functionKey{project: u.Project}
			if hour, ok = m.latest[fn]; !ok {
				hour = u.Hour
			}
		}
		u.Hour, key = hour, rowKey{fn, hour}
	}
	if row := m.rows[key]; row != nil {
		row.Add(u.Usage)
		return
	}
	m.rows[key] = &u
	m.latest[fn] = max(m.latest[fn], u.Hour)
}

// Stats returns the current state.
func (m *Meter) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats.with(len(m.rows))
}

func (s Stats) with(rows int) Stats {
	s.Pending += rows
	return s
}

// Run writes rows until ctx ends, and then the rest.
func (m *Meter) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-m.wake:
		case <-ctx.Done():
		}
		for delay := m.o.Delay; m.Stats().Pending > 0 && ctx.Err() == nil; {
			pause.For(ctx, delay)
			delay = 0
			if err := m.write(ctx); err != nil {
				delay = retryEvery
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	for m.Stats().Pending > 0 {
		if err := m.write(last); err != nil {
			m.o.Log.ErrorContext(ctx, "usage is lost: the store did not take it before the end of the platform", "rows", m.Stats().Pending, "err", err)
			break
		}
	}
	return nil
}

// write writes the batch that failed last, or else a new one.
func (m *Meter) write(ctx context.Context) error {
	if len(m.batch.Rows) == 0 {
		m.seal()
	}
	err := m.o.Store.AddUsage(ctx, m.batch)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.batch.Rows, m.stats.Pending = nil, 0
		if m.failing {
			m.o.Log.InfoContext(ctx, "usage is stored again", "rows", len(m.rows))
		}
	case ctx.Err() == nil:
		m.stats.Failures++
		if !m.failing {
			m.o.Log.WarnContext(ctx, "usage is not stored: it stays in memory and is written later", "rows", m.stats.with(len(m.rows)).Pending, "err", err)
		}
	}
	m.failing = err != nil && (m.failing || ctx.Err() == nil)
	return err
}

// seal moves rows from memory into the next batch.
func (m *Meter) seal() {
	m.batch = store.UsageBatch{Writer: m.writer, Serial: m.batch.Serial + 1, At: lateen.MillisOf(time.Now())}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, row := range m.rows {
		if len(m.batch.Rows) == batchRows {
			break
		}
		m.batch.Rows = append(m.batch.Rows, *row)
		delete(m.rows, key)
		if m.latest[key.functionKey] == key.hour {
			delete(m.latest, key.functionKey)
		}
	}
	m.stats.Pending = len(m.batch.Rows)
}
