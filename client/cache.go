package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/lateen-dev/lateen"
)

// ExpirePages expires all cached pages of a project.
func (c *Client) ExpirePages(ctx context.Context, project lateen.ProjectID) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/edge-cache/purge-all", query: ofProject(project)})
}

// ExpireData expires all values in the data cache of a project.
func (c *Client) ExpireData(ctx context.Context, project lateen.ProjectID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/data-cache/purge-all", query: ofProject(project)})
}

// InvalidateTags makes the cached pages and values of a project with one of tags stale.
func (c *Client) InvalidateTags(ctx context.Context, project lateen.ProjectID, tags []string) error {
	in := map[string]any{"tags": tags}
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/edge-cache/invalidate-by-tags", query: ofProject(project), in: in})
}

// ExpireTags expires the cached pages and values of a project with one of tags, after
// they may have been served stale for a time in seconds.
func (c *Client) ExpireTags(ctx context.Context, project lateen.ProjectID, tags []string, deadline int64) error {
	in := map[string]any{"tags": tags, "revalidationDeadlineSeconds": deadline}
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/edge-cache/dangerously-delete-by-tags", query: ofProject(project), in: in})
}

func ofProject(id lateen.ProjectID) url.Values {
	return url.Values{"projectIdOrName": {string(id)}}
}
