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
	return c.listUsage(ctx, store.UsageFilter{Team: p.Team, Project: of.ID, Since: since, Until: until})
}

// PlatformUsage returns the usage of the platform's own processes, as [Control.Usage]
// does for a project. The names of functions are those of kinds of processes: blank,
// zygote. The caller must be an owner of the platform's first team.
func (c *Control) PlatformUsage(ctx context.Context, since, until lateen.Millis) ([]lateen.UsageHour, error) {
	if err := c.ownerMay(ctx, lateen.PlatformRead, "the usage of the platform"); err != nil {
		return nil, err
	}
	return c.listUsage(ctx, store.UsageFilter{Since: since, Until: until})
}

// listUsage returns the hours of a filter, after it has set the defaults of its range.
func (c *Control) listUsage(ctx context.Context, f store.UsageFilter) ([]lateen.UsageHour, error) {
	if f.Until == 0 {
		f.Until = c.now() + 1
	}
	if f.Since == 0 {
		f.Since = max(1, f.Until-lateen.Millis((24*time.Hour).Milliseconds()))
	}
	if f.Until-f.Since > lateen.Millis(maxUsageRange.Milliseconds()) {
		return nil, lateen.ErrInvalid.With("the range of usage is longer than 31 days").WithHint("set since and until to at most 31 days apart")
	}
	return c.Store.ListUsage(ctx, f)
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
