package control

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// keepAlive is how often a followed build log without news yields an event
// without a time, so that whoever relays it can tell that the reader is there.
const keepAlive = 15 * time.Second

// EventFilter chooses events of a build log.
type EventFilter struct {
	Follow bool          // wait for more until the deployment is settled
	Since  lateen.Millis // at or after; 0 is from the beginning
	Until  lateen.Millis // before; 0 is to the end
	Limit  int           // at most; 0 is all
}

// Events returns a deployment and its build log in order. While it follows, the
// log yields a zero event now and then. It ends with an error if it can't be
// read on.
func (c *Control) Events(ctx context.Context, idOrHost string, filter EventFilter) (*lateen.Deployment, iter.Seq2[lateen.DeploymentEvent, error], error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil {
		return nil, nil, err
	}
	left := filter.Limit
	return d, func(yield func(lateen.DeploymentEvent, error) bool) {
		for e, err := range c.events(ctx, d.ID, filter.Follow) {
			if err == nil && e.CreatedAt != 0 {
				if e.CreatedAt < filter.Since || filter.Until != 0 && e.CreatedAt >= filter.Until {
					continue
				}
				left--
			}
			if !yield(e, err) || filter.Limit > 0 && left <= 0 {
				return
			}
		}
	}, nil
}

func (c *Control) events(ctx context.Context, id lateen.DeploymentID, follow bool) iter.Seq2[lateen.DeploymentEvent, error] {
	const page = 1000
	return func(yield func(lateen.DeploymentEvent, error) bool) {
		var last int64
		for {
			changed := c.watch.next(id)
			d, err := c.Store.GetDeployment(ctx, id) // before its events: a final state has no later ones
			if errors.Is(err, lateen.ErrDeploymentNotFound) {
				return // deleted meanwhile
			}
			var events []lateen.DeploymentEvent
			if err == nil {
				events, err = c.Store.ListEvents(ctx, id, last, page)
			}
			if err != nil {
				yield(lateen.DeploymentEvent{}, err)
				return
			}
			for _, e := range events {
				last = e.Serial
				if !yield(e, nil) {
					return
				}
			}
			if len(events) == page {
				continue
			}
			if !follow || settled(d) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-time.After(keepAlive):
				if !yield(lateen.DeploymentEvent{}, nil) {
					return
				}
			}
		}
	}
}

// settled reports whether nothing more happens to d by itself.
func settled(d *lateen.Deployment) bool {
	return d.State.Final() && (d.State != lateen.Ready || d.AliasedAt != 0)
}

func (c *Control) stateEvent(state lateen.ReadyState) []lateen.DeploymentEvent {
	return []lateen.DeploymentEvent{{
		Type: "deployment-state", CreatedAt: c.now(), Info: map[string]string{"readyState": string(state)},
	}}
}

// watch tells those who wait that something about a deployment changed.
type watch struct {
	mu      sync.Mutex // guards below
	waiting map[lateen.DeploymentID]chan struct{}
}

// next returns a channel that is closed at the next change.
func (w *watch) next(id lateen.DeploymentID) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch, ok := w.waiting[id]
	if !ok {
		ch = make(chan struct{})
		w.waiting[id] = ch
	}
	return ch
}

func (w *watch) changed(id lateen.DeploymentID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.waiting[id]; ok {
		close(ch)
		delete(w.waiting, id)
	}
}
