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
		changed, forget := c.watch.follow(id)
		defer forget()
		var last int64
		for {
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

// watch tells those who follow a deployment that something about it changed.
type watch struct {
	mu        sync.Mutex // guards below
	followers map[lateen.DeploymentID]map[chan struct{}]struct{}
}

// follow returns a channel that holds a value once something changed since it
// was last read, and what ends that.
func (w *watch) follow(id lateen.DeploymentID) (changed <-chan struct{}, forget func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followers == nil {
		w.followers = make(map[lateen.DeploymentID]map[chan struct{}]struct{})
	}
	if w.followers[id] == nil {
		w.followers[id] = make(map[chan struct{}]struct{})
	}
	w.followers[id][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.followers[id], ch)
		if len(w.followers[id]) == 0 {
			delete(w.followers, id)
		}
	}
}

func (w *watch) changed(id lateen.DeploymentID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.followers[id] {
		select {
		case ch <- struct{}{}:
		default: // it has not looked yet at what changed before
		}
	}
}
