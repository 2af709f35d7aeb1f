package worker

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"

	"github.com/lateen-dev/lateen/internal/pause"
)

// Limits of the messages that wait for the worker.
const (
	maxStarts  = 1024  // prewarms and preparations; further ones are dropped
	maxForgets = 10000 // deleted deployments; of further ones, files of the worker remain

	retryMin = 50 * time.Millisecond // time between two attempts to reach the worker
	retryMax = 2 * time.Second
)

// pending are the messages that the worker has not confirmed.
type pending struct {
	starts  []start
	produce map[lateen.ProjectID]produceRequest
	forgets map[lateen.DeploymentID]struct{}
}

// start is a prewarm or a preparation.
type start struct {
	path string
	spec lateen.FunctionSpec
}

func newPending() pending {
	return pending{produce: map[lateen.ProjectID]produceRequest{}, forgets: map[lateen.DeploymentID]struct{}{}}
}

// Prewarm implements [Backend].
func (c *Client) Prewarm(spec lateen.FunctionSpec) { c.begin(start{pathPrewarm, spec}) }

// Prepare implements [Backend].
func (c *Client) Prepare(spec lateen.FunctionSpec) { c.begin(start{pathPrepare, spec}) }

func (c *Client) begin(s start) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending.starts) < maxStarts {
		c.pending.starts = append(c.pending.starts, s)
	}
	c.signal()
}

// Produce implements [Backend]. A new process of the worker gets all productions again.
func (c *Client) Produce(p lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := produceRequest{p, d, functions}
	c.pending.produce[p] = r
	if len(functions) > 0 {
		c.produced[p] = r
	} else {
		delete(c.produced, p)
	}
	c.signal()
}

// Forget implements [Backend].
func (c *Client) Forget(d lateen.DeploymentID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending.forgets) < maxForgets {
		c.pending.forgets[d] = struct{}{}
	}
	c.signal()
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run passes the messages for the worker, and the events and the usage of the worker on,
// and serves the data cache, until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { c.follow(ctx) })
	all.Go(func() { c.deliver(ctx) })
	if c.o.Usage != nil {
		all.Go(func() { c.collect(ctx) })
	}
	if c.o.Data != nil {
		all.Go(func() { c.serveData(ctx) })
	}
	all.Wait()
	c.transport.CloseIdleConnections()
	return nil
}

// deliver sends the messages. One that could not be sent is sent again, except
// prewarms and preparations.
func (c *Client) deliver(ctx context.Context) {
	retry := retryMin
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		if err := c.send(ctx); err == nil {
			retry = retryMin
			continue
		}
		pause.For(ctx, retry)
		retry = min(2*retry, retryMax)
		c.signal()
	}
}

// send sends the pending messages: deletions last, so that no earlier message brings
// a deployment back.
func (c *Client) send(ctx context.Context) error {
	c.mu.Lock()
	all := c.pending
	c.pending = newPending()
	c.mu.Unlock()
	for _, s := range all.starts {
		_ = c.tell(ctx, s.path, s.spec) // an optimization
	}
	for p, r := range all.produce {
		if err := c.tell(ctx, pathProduce, r); err != nil {
			c.restore(all)
			return err
		}
		delete(all.produce, p)
	}
	for d := range all.forgets {
		if err := c.tell(ctx, pathForget, d); err != nil {
			c.restore(all)
			return err
		}
		delete(all.forgets, d)
	}
	return nil
}

// tell makes a call without a result, within a time limit.
func (c *Client) tell(ctx context.Context, path string, in any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.call(ctx, path, in, nil)
}

// restore makes unsent messages pending again, unless newer ones replace them.
func (c *Client) restore(unsent pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newer := c.pending.produce
	c.pending.produce = unsent.produce
	maps.Copy(c.pending.produce, newer)
	maps.Copy(c.pending.forgets, unsent.forgets)
}

// follow passes the events of the worker on.
func (c *Client) follow(ctx context.Context) {
	var r eventsRequest
	reachable, retry := true, retryMin
	for ctx.Err() == nil {
		if c.o.Expose != nil {
			r.Expose = c.o.Expose()
		}
		var got eventsResponse
		if err := c.poll(ctx, r, &got); err != nil {
			expected := c.successor.expected()
			if ctx.Err() == nil && reachable && !expected {
				c.o.Log.ErrorContext(ctx, "the worker cannot be reached; functions do not run", "err", err)
				reachable = false
			}
			pause.For(ctx, retry)
			if !expected { // else requests wait
				retry = min(2*retry, retryMax)
			}
			continue
		}
		if !reachable {
			c.o.Log.InfoContext(ctx, "the worker is back")
		}
		reachable, retry = true, retryMin
		if got.Process != r.Process {
			c.meet(got.Process)
			if got.Version != c.o.Version {
				c.o.Log.WarnContext(ctx, "the worker has another version", "worker_version", got.Version, "version", c.o.Version)
			}
			r.Process, r.After = got.Process, 0
		}
		if got.Stopping {
			c.successor.expect(c.successor.announced(), got.Process)
		}
		c.handle(got, &r)
	}
}

// poll asks for events.
func (c *Client) poll(ctx context.Context, r eventsRequest, got *eventsResponse) error {
	ctx, cancel := context.WithTimeout(ctx, eventsTimeout+callTimeout)
	defer cancel()
	return c.call(ctx, pathEvents, r, got)
}

// meet sends the state of the platform to a new process of the worker. An earlier
// process may have got it, also before this client has met any.
func (c *Client) meet(process string) {
	c.successor.meet(process)
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, r := range c.produced {
		if _, newer := c.pending.produce[p]; !newer {
			c.pending.produce[p] = r
		}
	}
	c.signal()
}

// handle passes events on, and acknowledges them in r.
func (c *Client) handle(got eventsResponse, r *eventsRequest) {
	if got.Dropped > 0 {
		c.o.Log.Warn("the worker dropped log lines, which it could not deliver", "count", got.Dropped)
	}
	for _, event := range got.Events {
		if event.Seq <= r.After {
			continue
		}
		r.After = event.Seq
		switch {
		case event.Line != nil && c.o.Lines != nil:
			c.o.Lines.Log(*event.Line)
		case event.Purge != nil && c.o.Purge != nil:
			c.o.Purge(*event.Purge)
		}
	}
}
