package control

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// InvalidateCache makes cached content of all deployments of a project stale or
// expired. It returns once the cache of this process has applied that; a cache that is
// slow applies it later.
func (c *Control) InvalidateCache(ctx context.Context, project string, content lateen.Invalidation) error {
	p, err := authorize(ctx, lateen.CacheWrite)
	if err != nil {
		return err
	}
	if err := content.Validate(); err != nil {
		return err
	}
	var recorded *changes
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		of, err := findProject(ctx, q, p, project)
		if err != nil {
			return err
		}
		recorded = ch
		ch.invalidate(of, content)
		return c.record(ctx, q, p, lateen.ActionCacheInvalidate, of.ID, of.Name)
	})
	if err == nil && c.Invalidated != nil {
		c.Invalidated(ctx, recorded.events[0].Serial)
	}
	return err
}

const readyPage = 500

// EachReady calls fn with the READY deployments of a project, in groups.
func (c *Control) EachReady(ctx context.Context, project lateen.ProjectID, fn func([]lateen.DeploymentID) error) error {
	for until := lateen.Millis(0); ; {
		page, err := c.Store.ListDeployments(ctx, store.DeploymentFilter{Project: project, States: []lateen.ReadyState{lateen.Ready}, Until: until, Limit: readyPage})
		if err != nil || len(page) == 0 {
			return err
		}
		ids := make([]lateen.DeploymentID, len(page))
		for i, d := range page {
			ids[i] = d.ID
		}
		if err := fn(ids); err != nil {
			return err
		}
		until = page[len(page)-1].CreatedAt
	}
}
