package control

import (
	"context"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// maxUsageRange bounds the time of one query of usage.
const maxUsageRange = 31 * 24 * time.Hour

// Usage returns the usage of a project, by id or name, in the hours that begin
// within a range: by default the 24 hours before until, which by default is now.
// Errors: [lateen.ErrInvalid] for a range longer than 31 days.
func (c *Control) Usage(ctx context.Context, project string, since, until lateen.Millis) ([]lateen.UsageHour, error) {
	p, err := authorize(ctx, lateen.ProjectRead)
	if err != nil {
		return nil, err
	}
	of, err := findProject(ctx, c.Store.Queries, p, project)
	if err != nil {
		return nil, err
	}
	if until == 0 {
		until = c.now() + 1
	}
	if since == 0 {
		since = max(1, until-lateen.Millis((24*time.Hour).Milliseconds()))
	}
	if until-since > lateen.Millis(maxUsageRange.Milliseconds()) {
		return nil, lateen.ErrInvalid.With("the range of usage is longer than 31 days").WithHint("set since and until to at most 31 days apart")
	}
	return c.Store.ListUsage(ctx, store.UsageFilter{Team: p.Team, Project: of.ID, Since: since, Until: until})
}

// expireUsage removes usage older than its retention.
func (c *Control) expireUsage(ctx context.Context) {
	if c.UsageAge <= 0 {
		return
	}
	if _, err := c.Store.ExpireUsage(ctx, lateen.MillisOf(c.before(c.UsageAge))); err != nil && ctx.Err() == nil {
		c.Log.WarnContext(ctx, "old usage was not removed", "err", err)
	}
}
