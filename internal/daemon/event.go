package daemon

import (
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/bus"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/edge"
)

// restore gives the edge and the preparer the state of the store. Events since
// [bus.Bus.Open] may repeat a part of it.
func restore(ctx context.Context, verbs *control.Control, front *edge.Edge, p *preparer) error {
	hosts, err := verbs.Hosts(ctx)
	if err != nil {
		return err
	}
	front.Route(hosts)
	productions, err := verbs.Productions(ctx)
	if err != nil {
		return err
	}
	for project, id := range productions {
		p.setProduction(project, id)
	}
	return nil
}

// retireIn ends the instances of deleted deployments.
func retireIn(f functions, events []lateen.Event) {
	for i := range events {
		if events[i].Type == lateen.DeploymentRemoved {
			f.Retire(events[i].Deployment)
		}
	}
}

// newCleaner returns the consumer that removes the files of deleted deployments: their
// cached pages and their code caches. cursor is the file with its cursor.
func newCleaner(events *bus.Bus, cursor string, front *edge.Edge, f functions) *bus.Consumer {
	return events.Consumer(cursor, func(_ context.Context, events []lateen.Event) error {
		var failed error
		for i := range events {
			if e := &events[i]; e.Type == lateen.DeploymentRemoved {
				f.Forget(e.Deployment)
				failed = errors.Join(failed, front.Forget(e.Deployment))
			}
		}
		return failed
	})
}
