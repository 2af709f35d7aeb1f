package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Alias is an alias with the deployment it leads to.
type Alias struct {
	lateen.Alias

	SiteURL string `json:"siteUrl"`
	Target  struct {
		Host string `json:"url"`
	} `json:"deployment"`

	raw rawJSON
}

// UnmarshalJSON implements [json.Unmarshaler].
func (a *Alias) UnmarshalJSON(b []byte) error {
	type fields Alias
	a.raw = rawJSON(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(a))
}

// MarshalJSON writes the alias as the API sent it.
func (a *Alias) MarshalJSON() ([]byte, error) { return a.raw.MarshalJSON() }

// Aliases returns a page of aliases, limited to one project unless it is "", and the
// beginning of the next page (0: there is none).
func (c *Client) Aliases(ctx context.Context, project lateen.ProjectID, page Page) ([]Alias, lateen.Millis, error) {
	var reply struct {
		next

		Aliases []Alias `json:"aliases"`
	}
	query := page.query()
	if project != "" {
		query.Set("projectId", string(project))
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v4/aliases", query: query, out: &reply})
	return reply.Aliases, reply.Pagination.Next, err
}

// Alias returns an alias by id or host. A host without a dot is one under the
// platform's domain.
func (c *Client) Alias(ctx context.Context, idOrHost string) (*Alias, error) {
	var reply Alias
	err := c.do(ctx, call{method: http.MethodGet, path: "/v4/aliases" + path(idOrHost), out: &reply})
	return &reply, err
}

// SetAlias points a host at a deployment and, unless redirect is "", redirects its
// requests to the host redirect. A host without a dot is one under the
// platform's domain.
func (c *Client) SetAlias(ctx context.Context, deployment, host, redirect string) (*Alias, error) {
	var reply Alias
	err := c.do(ctx, call{method: http.MethodPost, path: "/v2/deployments" + path(deployment, "aliases"), in: map[string]string{"alias": host, "redirect": redirect}, out: &reply})
	return &reply, err
}

// RemoveAlias removes an alias by id or host.
func (c *Client) RemoveAlias(ctx context.Context, idOrHost string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v2/aliases" + path(idOrHost)})
}
