package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/pause"
)

// Consumer handles events at its own pace. Its cursor is durable: after a crash it
// handles the events again that it had not finished, also those of the time in which
// the process did not run.
type Consumer struct {
	bus    *Bus
	cursor string // file
	handle func(ctx context.Context, events []lateen.Event) error

	unsaved bool // the last save failed; only the goroutine of Run uses it

	mu      sync.Mutex    // guards the fields below
	handled int64         // serial of the latest handled event
	moved   chan struct{} // closed when handled changes
}

// Await waits until the event with a serial, and all earlier ones, are handled, or until
// ctx ends.
func (c *Consumer) Await(ctx context.Context, serial int64) {
	for {
		c.mu.Lock()
		handled, moved := c.handled, c.moved
		c.mu.Unlock()
		if handled >= serial {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// move records the latest handled event.
func (c *Consumer) move(serial int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handled = serial
	close(c.moved)
	c.moved = make(chan struct{})
}

// The pauses after failures of handle, and the interval at which the cursor is saved.
const (
	minPause  = 100 * time.Millisecond
	maxPause  = time.Minute
	saveEvery = time.Second
)

// Consumer returns a consumer that handles the events of b. It may get events again that
// it has handled, and after an error it gets the same events again after a pause. cursor
// is the file with the serial of the latest handled event; without the file, a consumer
// begins with the next event. Run must be called after [Bus.Open].
func (b *Bus) Consumer(cursor string, handle func(context.Context, []lateen.Event) error) *Consumer {
	return &Consumer{handle: handle, cursor: cursor, bus: b, moved: make(chan struct{})}
}

// Run handles events until ctx ends.
func (c *Consumer) Run(ctx context.Context) error {
	last, next := c.bus.position()
	cursor := c.load(last)
	saved := int64(-1) // a first start saves the cursor as well
	save := func() {
		if saved != cursor && c.save(cursor) {
			saved = cursor
		}
	}
	save()
	defer save()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		cursor = c.consume(ctx, cursor, last)
		select {
		case <-next:
			last, next = c.bus.position()
		case <-tick.C:
			save()
		case <-ctx.Done():
			return nil
		}
	}
}

// consume handles the events after the cursor up to last, or until ctx ends, and
// returns the new cursor.
func (c *Consumer) consume(ctx context.Context, cursor, last int64) int64 {
	for delay := minPause; cursor < last && ctx.Err() == nil; {
		events, err := c.bus.o.Events.ListEvents(ctx, cursor, pageSize)
		if err == nil && len(events) == 0 {
			c.move(last)
			return last // deleted from the log, all of them
		}
		if err == nil {
			if end := events[len(events)-1].Serial; end != cursor+int64(len(events)) {
				c.bus.o.Log.WarnContext(ctx, "some events were not handled", "after", cursor, "until", end, "err", ErrMissed)
			}
			err = c.handle(ctx, events)
		}
		if err == nil {
			cursor, delay = events[len(events)-1].Serial, minPause
			c.move(cursor)
			continue
		}
		if ctx.Err() == nil {
			c.bus.o.Log.WarnContext(ctx, "could not handle events; trying again", "after", cursor, "err", err)
		}
		pause.For(ctx, delay/2+rand.N(delay/2))
		delay = min(2*delay, maxPause)
	}
	return cursor
}

// save writes the cursor to its file and reports whether it succeeded. It logs the
// first of several failures.
func (c *Consumer) save(cursor int64) bool {
	err := atomicfile.Write(c.cursor, []byte(strconv.FormatInt(cursor, 10)+"\n"), 0o600)
	if err != nil && !c.unsaved {
		c.bus.o.Log.Warn("could not save the cursor of the events; the next start handles some of them again", "err", err)
	}
	c.unsaved = err != nil
	return err == nil
}

// load reads the cursor. A cursor after the latest event belongs to another database.
func (c *Consumer) load(last int64) int64 {
	text, err := os.ReadFile(c.cursor)
	if errors.Is(err, fs.ErrNotExist) {
		return last
	}
	var cursor int64
	if err == nil {
		cursor, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	if err == nil && (cursor < 0 || cursor > last) {
		err = fmt.Errorf("the latest event is %d", last)
	}
	if err != nil {
		c.bus.o.Log.Warn("the cursor of the events is unusable; continuing after the latest event", "path", c.cursor, "err", err)
		return last
	}
	return cursor
}
