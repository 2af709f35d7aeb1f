package worker

import (
	"context"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/pause"
	"github.com/lateen-dev/lateen/internal/store"
)

// usageTimeout is the time limit for a client to store a batch of usage.
const usageTimeout = 30 * time.Second

var errUsageUnstored = &lateen.Error{Code: lateen.Unavailable, Reason: "usage_unstored", Message: "no control process has stored the usage", Hint: "start it with `lateen up --roles control,edge --workers unix:PATH`"}

// Usage passes the usage of a worker to the store of its client. It is the store of one
// meter, which keeps usage in memory while there is no client. The zero value is ready.
type Usage struct {
	mu      sync.Mutex // guards the fields below
	batch   *store.UsageBatch
	stored  chan struct{} // closed when the client has stored batch
	added   chan struct{} // closed with the next batch; nil if nothing waits
	serial  int64         // of the last stored batch
	stopped bool
}

// AddUsage returns when the client has stored the batch, which may have been passed
// before.
func (u *Usage) AddUsage(ctx context.Context, b store.UsageBatch) error {
	ctx, cancel := context.WithTimeoutCause(ctx, usageTimeout, errUsageUnstored)
	defer cancel()
	select {
	case <-u.offer(b):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (u *Usage) offer(b store.UsageBatch) (stored <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.batch == nil || u.batch.Serial != b.Serial {
		u.batch, u.stored = &b, make(chan struct{})
		if b.Serial <= u.serial {
			u.batch = nil
			close(u.stored)
		}
	}
	u.wakeLocked()
	return u.stored
}

func (u *Usage) wakeLocked() {
	if u.added != nil {
		close(u.added)
		u.added = nil
	}
}

// next waits a while for a batch other than the one with an acknowledged serial.
func (u *Usage) next(ctx context.Context, r usageRequest) *store.UsageBatch {
	timer := time.NewTimer(eventsTimeout)
	defer timer.Stop()
	for {
		batch, added := u.take(r)
		if batch != nil || added == nil {
			return batch
		}
		select {
		case <-added:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// take acknowledges a batch, and returns another one, or a channel that announces it;
// nil if none will come.
func (u *Usage) take(r usageRequest) (*store.UsageBatch, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.batch != nil && u.batch.Writer == r.Writer && u.batch.Serial == r.Serial {
		u.batch, u.serial = nil, r.Serial
		close(u.stored)
	}
	if u.batch != nil || u.stopped {
		return u.batch, nil
	}
	if u.added == nil {
		u.added = make(chan struct{})
	}
	return nil, u.added
}

// close ends the waits for batches.
func (u *Usage) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	u.wakeLocked()
}

// collect stores the usage of the worker. A batch whose acknowledgement is lost arrives
// again, and the store ignores it then.
func (c *Client) collect(ctx context.Context) {
	var r usageRequest
	failing, retry := false, retryMin
	for ctx.Err() == nil {
		batch, err := c.nextUsage(ctx, r)
		if err == nil && batch != nil {
			if err = c.o.Usage.AddUsage(ctx, *batch); err == nil {
				r = usageRequest{batch.Writer, batch.Serial}
			} else if !failing && ctx.Err() == nil {
				c.o.Log.WarnContext(ctx, "the usage of the worker is not stored: the worker keeps it", "err", err)
				failing = true
			}
		}
		if err != nil {
			pause.For(ctx, retry)
			retry = min(2*retry, retryMax)
			continue
		}
		failing, retry = false, retryMin
	}
}

func (c *Client) nextUsage(ctx context.Context, r usageRequest) (batch *store.UsageBatch, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventsTimeout+callTimeout)
	defer cancel()
	err = c.call(ctx, pathUsage, r, &batch)
	return batch, err
}
