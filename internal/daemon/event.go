package daemon

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lateen-dev/lateen"
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

// maxCleanings bounds how often the cleaner tries to remove the files of the same
// deployments, so that one file that cannot be removed does not keep all later ones.
const maxCleanings = 8

// cleaner removes the files of deleted deployments: their code caches and their cached
// pages. Its clean handles events for a [bus.Consumer].
type cleaner struct {
	forgetCode  func(lateen.DeploymentID)
	removePages func(lateen.DeploymentID) error
	log         *slog.Logger
	failures    int // in a row
}

// clean fails if files could not be removed. After maxCleanings failures in a row they
// remain, and the log names them.
func (c *cleaner) clean(ctx context.Context, events []lateen.Event) error {
	var failed error
	for i := range events {
		if e := &events[i]; e.Type == lateen.DeploymentRemoved {
			c.forgetCode(e.Deployment)
			failed = errors.Join(failed, c.removePages(e.Deployment))
		}
	}
	if failed != nil {
		if c.failures++; c.failures < maxCleanings {
			return failed
		}
		c.log.ErrorContext(ctx, "files of deleted deployments could not be removed; remove them by hand", "err", failed)
	}
	c.failures = 0
	return nil
}
