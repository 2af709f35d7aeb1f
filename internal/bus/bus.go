// Package bus delivers the events of the platform to the components of this process,
// in the order of their serials: to subscribers, which keep state in memory, at once;
// to consumers, which do slow work, at their own pace and at least once.
package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// Log is the durable log of events.
type Log interface {
	// LastEvent returns the serial of the latest event; 0 if there was none.
	LastEvent(ctx context.Context) (int64, error)
	// ListEvents returns at most limit events after a serial, in order.
	ListEvents(ctx context.Context, after int64, limit int) ([]lateen.Event, error)
}

// Options configures a [Bus].
type Options struct {
	Events Log
	// Poll is the interval at which Run looks for events that Publish did not deliver,
	// such as those of other processes; 0 is 5 seconds.
	Poll time.Duration
	Log  *slog.Logger
}

// Bus delivers events. All methods except Subscribe are safe for concurrent use. Use
// [New].
type Bus struct {
	o           Options
	subscribers []func([]lateen.Event)

	mu        sync.Mutex // held during deliveries; guards the fields below
	opened    bool
	cursor    int64         // serial of the latest delivered event
	delivered chan struct{} // closed at the next delivery
}

const (
	pageSize = 1000             // events of one delivery
	catchUp  = 10 * time.Second // time limit of reading events that Publish did not bring
)

// ErrMissed means that events were deleted from the log before this process read
// them.
var ErrMissed = errors.New("events were deleted before this process read them")

// New returns a bus without subscribers.
func New(o Options) *Bus {
	o.Poll = cmp.Or(o.Poll, 5*time.Second)
	return &Bus{o: o, delivered: make(chan struct{})}
}

// Subscribe calls fn with all events after [Bus.Open]. fn must not block, publish
// events or change the slice. Subscribe may not be called after Open.
func (b *Bus) Subscribe(fn func(events []lateen.Event)) { b.subscribers = append(b.subscribers, fn) }

// Open begins the deliveries. A subscriber reads the state before the first event
// after Open has returned; events may then repeat a part of that state.
func (b *Bus) Open(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, err := b.o.Events.LastEvent(ctx)
	if err != nil {
		return fmt.Errorf("find the latest event: %w", err)
	}
	b.opened, b.cursor = true, last
	return nil
}

// Publish delivers the events that a transaction recorded, and all earlier events,
// and returns when every subscriber has them, also if ctx has ended. If the log cannot
// be read, Run delivers them later. Before Open it does nothing.
func (b *Bus) Publish(ctx context.Context, events []lateen.Event) {
	if len(events) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first, last := events[0].Serial, events[len(events)-1].Serial
	switch {
	case !b.opened || b.cursor >= last:
	case b.cursor == first-1:
		b.deliverLocked(events)
	default: // events of another process come first
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catchUp)
		defer cancel()
		if err := b.readLocked(ctx); err != nil {
			b.o.Log.ErrorContext(ctx, "events are not delivered yet; trying again", "serial", last, "err", err)
		}
	}
}

// Run delivers the events that Publish did not deliver until ctx ends. It fails with
// [ErrMissed] if it cannot deliver all events: the state of the subscribers is out of
// date then.
func (b *Bus) Run(ctx context.Context) error {
	poll := time.NewTicker(b.o.Poll)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
		switch err := b.read(ctx); {
		case errors.Is(err, ErrMissed):
			return err
		case err != nil && ctx.Err() == nil:
			b.o.Log.WarnContext(ctx, "could not read events; trying again", "err", err)
		}
	}
}

// read is readLocked within a time limit: publishers wait meanwhile, and a connection
// may be dead without notice.
func (b *Bus) read(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	return b.readLocked(ctx)
}

// readLocked delivers all events after the cursor.
func (b *Bus) readLocked(ctx context.Context) error {
	for {
		events, err := b.o.Events.ListEvents(ctx, b.cursor, pageSize)
		if err != nil || len(events) == 0 {
			return err
		}
		if events[len(events)-1].Serial != b.cursor+int64(len(events)) {
			return ErrMissed
		}
		b.deliverLocked(events)
		if len(events) < pageSize {
			return nil
		}
	}
}

func (b *Bus) deliverLocked(events []lateen.Event) {
	for _, fn := range b.subscribers {
		fn(events)
	}
	b.cursor = events[len(events)-1].Serial
	close(b.delivered)
	b.delivered = make(chan struct{})
}

// position returns the serial of the latest delivered event, and a channel that is
// closed at the next delivery.
func (b *Bus) position() (serial int64, next <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cursor, b.delivered
}
