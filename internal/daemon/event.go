package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
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

// cleaner removes the files of deleted deployments, which are their code caches and their
// cached pages, and invalidates cached content. Its clean handles events for a
// [bus.Consumer].
type cleaner struct {
	forgetCode  func(lateen.DeploymentID)
	removePages func(lateen.DeploymentID) error
	invalidate  func(ctx context.Context, of lateen.ProjectID, content *lateen.Invalidation) error
	log         *slog.Logger
	failures    int // in a row
}

// clean fails if files could not be removed or changed. After maxCleanings failures in a row they
// remain, and the log names them.
func (c *cleaner) clean(ctx context.Context, events []lateen.Event) error {
	var failed error
	for i := range events {
		switch e := &events[i]; e.Type {
		case lateen.DeploymentRemoved:
			c.forgetCode(e.Deployment)
			failed = errors.Join(failed, c.removePages(e.Deployment))
		case lateen.CacheInvalidated:
			failed = errors.Join(failed, c.invalidate(ctx, e.Project, &e.Invalidation))
		default: // concerns other subscribers
		}
	}
	if failed != nil {
		if c.failures++; c.failures < maxCleanings {
			return failed
		}
		c.log.ErrorContext(ctx, "files of deleted deployments could not be removed, or cached content not invalidated", "err", failed)
	}
	c.failures = 0
	return nil
}

// invalidationTime bounds the wait of a caller for an invalidation.
const invalidationTime = 5 * time.Second

// within bounds the time of a wait for an event.
func within(limit time.Duration, await func(ctx context.Context, serial int64)) func(context.Context, int64) {
	return func(ctx context.Context, serial int64) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		await(ctx, serial)
	}
}

// invalidator applies invalidations to the cached content of a project's deployments.
func invalidator(verbs *control.Control, pages *cache.Cache) func(context.Context, lateen.ProjectID, *lateen.Invalidation) error {
	return func(ctx context.Context, of lateen.ProjectID, content *lateen.Invalidation) error {
		return verbs.EachReady(ctx, of, func(ids []lateen.DeploymentID) error {
			scopes := make([]string, len(ids))
			for i, id := range ids {
				scopes[i] = string(id)
			}
			err := pages.Invalidate(scopes, content.Tags, content.GraceTime())
			if content.Pages {
				err = errors.Join(err, pages.ExpirePages(scopes))
			}
			if content.Data {
				err = errors.Join(err, pages.ExpireData(scopes))
			}
			return err
		})
	}
}
