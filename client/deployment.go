package client

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Deployment is a deployment with its URLs.
type Deployment struct {
	lateen.Deployment

	SiteURL           string   `json:"siteUrl"`             // of its own host
	Live              bool     `json:"live"`                // the production hosts of its project lead to it
	CanRollBack       bool     `json:"isRollbackCandidate"` // it has served production, and does not
	Alias             []string `json:"alias"`               // hosts that lead to it besides its own; not in lists
	CustomEnvironment *struct {
		Slug lateen.Environment `json:"slug"`
	} `json:"customEnvironment"`
	Creator struct {
		Username string `json:"username"`
	} `json:"creator"`

	raw rawJSON
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Deployment) UnmarshalJSON(b []byte) error {
	type fields Deployment
	d.raw = rawJSON(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(d))
}

// MarshalJSON writes the deployment as the API sent it.
func (d *Deployment) MarshalJSON() ([]byte, error) { return d.raw.MarshalJSON() }

// Environment is the environment of the deployment.
func (d *Deployment) Environment() lateen.Environment {
	switch {
	case d.CustomEnvironment != nil:
		return d.CustomEnvironment.Slug
	case d.Target == "":
		return lateen.Preview
	}
	return d.Target
}

// Settled reports whether the deployment is in a final state: it failed, was canceled,
// or is READY on all its hosts.
func (d *Deployment) Settled() bool {
	return d.State.Final() && (d.State != lateen.Ready || d.AliasedAt != 0)
}

// DeploymentFilter selects deployments; a zero field selects all.
type DeploymentFilter struct {
	Project lateen.ProjectID
	Target  lateen.Environment
	Branch  string
	States  []lateen.ReadyState
	Meta    map[string]string
}

// Deployments returns a page of deployments and the beginning of the next one (0: there
// is none).
func (c *Client) Deployments(ctx context.Context, filter DeploymentFilter, page Page) ([]Deployment, lateen.Millis, error) {
	query := page.query()
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("projectId", string(filter.Project))
	set("target", string(filter.Target))
	set("branch", filter.Branch)
	states := make([]string, 0, len(filter.States))
	for _, s := range filter.States {
		states = append(states, string(s))
	}
	set("state", strings.Join(states, ","))
	for key, value := range filter.Meta {
		query.Set("meta-"+key, value)
	}
	var reply struct {
		next

		Deployments []Deployment `json:"deployments"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v6/deployments", query: query, out: &reply})
	return reply.Deployments, reply.Pagination.Next, err
}

// Deployment returns a deployment by id, by its own host or by an alias.
func (c *Client) Deployment(ctx context.Context, idOrHost string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodGet, path: "/v13/deployments" + path(idOrHost), out: &d})
	return &d, err
}

// DeleteDeployment removes a deployment and the aliases that lead to it. With safe it
// returns an error if there are any.
func (c *Client) DeleteDeployment(ctx context.Context, idOrHost string, safe bool) error {
	query := url.Values{}
	if safe {
		query.Set("safe", "1")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v13/deployments" + path(idOrHost), query: query})
}

// CancelDeployment stops a deployment that is not ready yet.
func (c *Client) CancelDeployment(ctx context.Context, idOrHost string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v12/deployments" + path(idOrHost, "cancel"), out: &d})
	return &d, err
}

// Redeploy deploys the files of a deployment again, for a target or, if that is "", for
// its own.
func (c *Client) Redeploy(ctx context.Context, idOrHost string, target lateen.Environment) (*Deployment, error) {
	from, err := c.Deployment(ctx, idOrHost)
	if err != nil {
		return nil, err
	}
	if target == "" {
		target = from.Environment()
	}
	in := map[string]any{
		"deploymentId": from.ID, "name": from.Name, "target": target,
		"meta": map[string]string{"action": "redeploy"}, "source": "cli",
	}
	var d Deployment
	err = c.do(ctx, call{method: http.MethodPost, path: "/v13/deployments", in: in, out: &d, atMostOnce: true})
	return &d, err
}

// Output is a path that a deployment serves.
type Output struct {
	Path   string `json:"path"`
	Type   string `json:"type"` // lambda, edge, file
	Size   int64  `json:"size"` // of a file, bytes
	Lambda *struct {
		Runtime string `json:"runtime"`
		Memory  int    `json:"memorySize"` // MiB; 0 is the default
		Timeout int    `json:"timeout"`    // seconds; 0 is the default
	} `json:"lambda"`
}

// Outputs returns the outputs of a deployment by path, functions first.
func (c *Client) Outputs(ctx context.Context, idOrHost string) ([]Output, error) {
	var reply struct {
		Builds []struct {
			Output []Output `json:"output"`
		} `json:"builds"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v11/deployments" + path(idOrHost, "builds"), out: &reply})
	var out []Output
	for _, b := range reply.Builds {
		out = append(out, b.Output...)
	}
	return out, err
}

// BuildLog reads a build log from a time on, with follow until the deployment is
// settled. The last value is an error if the log could not be read to its end, as when
// the connection is lost.
func (c *Client) BuildLog(ctx context.Context, id lateen.DeploymentID, since lateen.Millis, follow bool) iter.Seq2[lateen.BuildLogLine, error] {
	query := url.Values{"format": {"lines"}, "direction": {"forward"}}
	if follow {
		query.Set("follow", "1")
	}
	if since != 0 {
		query.Set("since", strconv.FormatInt(int64(since), 10))
	}
	return func(yield func(lateen.BuildLogLine, error) bool) {
		resp, err := c.send(ctx, call{method: http.MethodGet, path: "/v3/deployments" + path(string(id), "events"), query: query})
		if err != nil {
			yield(lateen.BuildLogLine{}, err)
			return
		}
		defer resp.Body.Close()
		lines(ctx, resp.Body, func(e lateen.BuildLogLine, err error) bool {
			if err == nil && e.Serial == 0 {
				return true // a sign of life
			}
			return yield(e, err)
		})
	}
}
