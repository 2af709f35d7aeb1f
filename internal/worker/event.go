package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// Limits of the events that wait for the client, which the projects divide.
const (
	maxLines      = 8192    // log lines
	maxLineBytes  = 8 << 20 // bytes of their texts
	maxPurges     = 8192    // invalidations, besides the lines
	maxPurgeBytes = 8 << 20 // bytes of their tags
	maxBatch      = 512     // events of one response
	eventsTimeout = 20 * time.Second

	stoppingTimeout = time.Second // replaces eventsTimeout, so that the client knows that the process still stops
)

// Events are the messages of a worker, in order, until its client has acknowledged
// them. Further events of a project that has its share of their limits are dropped. Use
// [NewEvents].
type Events struct {
	mu      sync.Mutex // guards the fields below
	list    []Event
	seq     uint64
	lines   share.Capacity[lateen.ProjectID]
	purges  share.Capacity[lateen.ProjectID]
	dropped int
	added   chan struct{} // closed with the next event; nil if nothing waits
	closed  bool
	emptied chan struct{} // closed when, after close, no event is left; nil before close
}

// NewEvents returns events without any.
func NewEvents() *Events {
	return &Events{
		lines:  share.NewCapacity[lateen.ProjectID](maxLines, maxLineBytes),
		purges: share.NewCapacity[lateen.ProjectID](maxPurges, maxPurgeBytes),
	}
}

// Log adds a log line. It never blocks.
func (e *Events) Log(line lateen.LogLine) { e.add(Event{Line: &line}) }

// Purge adds an invalidation. It never blocks.
func (e *Events) Purge(p Purge) { e.add(Event{Purge: &p}) }

func (e *Events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if of, project, size := e.capacityOf(event); !of.Take(size, project) {
		e.dropped++
		return
	}
	e.seq++
	event.Seq = e.seq
	e.list = append(e.list, event)
	e.wakeLocked()
}

func (e *Events) wakeLocked() {
	if e.added != nil {
		close(e.added)
		e.added = nil
	}
}

// capacityOf returns the capacity that an event takes for its project, and its size.
func (e *Events) capacityOf(event Event) (of share.Capacity[lateen.ProjectID], project lateen.ProjectID, size int64) {
	if event.Line != nil {
		return e.lines, event.Line.Project, int64(len(event.Line.Text))
	}
	const overhead = 16 // of a tag, which may be empty
	for _, tag := range event.Purge.Tags {
		size += int64(len(tag)) + overhead
	}
	return e.purges, event.Purge.Project, size
}

// close ends the wait for events. The channel is closed when all are acknowledged.
func (e *Events) close() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed, e.emptied = true, make(chan struct{})
	if len(e.list) == 0 {
		close(e.emptied)
	}
	e.wakeLocked()
	return e.emptied
}

// after removes the events up to seq and returns those behind it. It waits a while for
// the first one, or until the process stops. dropped is the number of events that were
// dropped since the last call.
func (e *Events) after(ctx context.Context, seq uint64, stops <-chan struct{}) (events []Event, dropped int) {
	wait := eventsTimeout
	if isClosed(stops) {
		wait, stops = stoppingTimeout, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		events, dropped, added := e.take(seq)
		if len(events) > 0 || dropped > 0 || added == nil {
			return events, dropped
		}
		select {
		case <-added:
		case <-stops:
			return nil, 0
		case <-timer.C:
			return nil, 0
		case <-ctx.Done():
			return nil, 0
		}
	}
}

// take removes the events up to seq and returns a copy of those behind it, and a
// channel that announces the next one; nil if none will come.
func (e *Events) take(seq uint64) (events []Event, dropped int, added <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	done := 0
	for done < len(e.list) && e.list[done].Seq <= seq {
		from, project, size := e.capacityOf(e.list[done])
		from.Give(size, project)
		done++
	}
	e.list = slices.Delete(e.list, 0, done)
	if done > 0 && len(e.list) == 0 && e.closed && !isClosed(e.emptied) {
		close(e.emptied)
	}
	events = append(events, e.list[:min(len(e.list), maxBatch)]...)
	dropped, e.dropped = e.dropped, 0
	if e.closed {
		return events, dropped, nil
	}
	if e.added == nil {
		e.added = make(chan struct{})
	}
	return events, dropped, e.added
}
