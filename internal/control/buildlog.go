package control

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// keepAlive is the interval at which a followed build log without new lines yields
// a line without a time, so that a relay can detect a disconnected reader.
const keepAlive = 15 * time.Second

// BuildLogFilter selects lines of a build log.
type BuildLogFilter struct {
	Follow bool          // wait for more lines until the deployment is finalized
	Since  lateen.Millis // lines at or after this time; 0 is from the beginning
	Until  lateen.Millis // lines before this time; 0 is to the end
	Limit  int           // maximum number of lines; 0 is all
}

// BuildLog returns a deployment and its build log in order. While it follows, the log
// yields a zero line every [keepAlive]. The log ends with an error if it can't be
// read further.
func (c *Control) BuildLog(ctx context.Context, idOrHost string, filter BuildLogFilter) (*lateen.Deployment, iter.Seq2[lateen.BuildLogLine, error], error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil {
		return nil, nil, err
	}
	left := filter.Limit
	return d, func(yield func(lateen.BuildLogLine, error) bool) {
		for e, err := range c.follow(ctx, d.ID, filter.Follow) {
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

func (c *Control) follow(ctx context.Context, id lateen.DeploymentID, follow bool) iter.Seq2[lateen.BuildLogLine, error] {
	const page = 1000
	return func(yield func(lateen.BuildLogLine, error) bool) {
		changed, forget := c.watch.follow(id)
		defer forget()
		var last int64
		for {
			d, err := c.Store.GetDeployment(ctx, id) // read before the lines: no line comes after a final state
			if errors.Is(err, lateen.ErrDeploymentNotFound) {
				return // deleted since then
			}
			var lines []lateen.BuildLogLine
			if err == nil {
				lines, err = c.Store.ListBuildLog(ctx, id, last, page)
			}
			if err != nil {
				yield(lateen.BuildLogLine{}, err)
				return
			}
			for _, e := range lines {
				last = e.Serial
				if !yield(e, nil) {
					return
				}
			}
			if len(lines) == page {
				continue
			}
			if !follow || finalized(d) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-time.After(keepAlive):
				if !yield(lateen.BuildLogLine{}, nil) {
					return
				}
			}
		}
	}
}

// finalized reports whether d is in a final state and, if READY, has its hosts.
func finalized(d *lateen.Deployment) bool {
	return d.State.Final() && (d.State != lateen.Ready || d.AliasedAt != 0)
}

func (c *Control) stateLine(state lateen.ReadyState) []lateen.BuildLogLine {
	return []lateen.BuildLogLine{{
		Type: "deployment-state", CreatedAt: c.now(), Info: map[string]string{"readyState": string(state)},
	}}
}

// watch notifies the followers of a deployment of its changes.
type watch struct {
	mu        sync.Mutex // guards the fields below
	followers map[lateen.DeploymentID]map[chan struct{}]struct{}
}

// follow returns a channel that holds a value if something changed since the last
// read, and a function that ends the subscription.
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
		default: // the follower has not read the notification before
		}
	}
}
