package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Project is a project with the deployments that serve it.
type Project struct {
	lateen.Project

	// Targets has the deployment that serves production, if there is one.
	Targets map[lateen.Environment]*Deployment `json:"targets"`
	Crons   *struct {
		Definitions []lateen.Cron `json:"definitions"`
	} `json:"crons"`

	raw rawJSON
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Project) UnmarshalJSON(b []byte) error {
	type fields Project
	p.raw = rawJSON(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(p))
}

// MarshalJSON writes the project as the API sent it.
func (p *Project) MarshalJSON() ([]byte, error) { return p.raw.MarshalJSON() }

// Projects returns a page of projects whose names contain a text, and the beginning of
// the next page (0: there is none).
func (c *Client) Projects(ctx context.Context, search string, page Page) ([]Project, lateen.Millis, error) {
	var reply struct {
		next

		Projects []Project `json:"projects"`
	}
	query := page.query()
	if search != "" {
		query.Set("search", search)
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v9/projects", query: query, out: &reply})
	return reply.Projects, reply.Pagination.Next, err
}

// Project returns a project by id or name.
func (c *Client) Project(ctx context.Context, idOrName string) (*Project, error) {
	var p Project
	err := c.do(ctx, call{method: http.MethodGet, path: "/v9/projects" + path(idOrName), out: &p})
	return &p, err
}

// CreateProject creates a project.
func (c *Client) CreateProject(ctx context.Context, name string, settings lateen.ProjectSettings) (*Project, error) {
	in := struct {
		lateen.ProjectSettings

		Name string `json:"name"`
	}{settings, name}
	var p Project
	err := c.do(ctx, call{method: http.MethodPost, path: "/v9/projects", in: in, out: &p, atMostOnce: true})
	return &p, err
}

// RenameProject changes the name and the production hosts of a project.
func (c *Client) RenameProject(ctx context.Context, idOrName, name string) (*Project, error) {
	var p Project
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v9/projects" + path(idOrName), in: map[string]string{"name": name}, out: &p})
	return &p, err
}

// ProjectChange contains settings to change; nil fields do not change.
type ProjectChange struct {
	StartHeader *string `json:"startHeader,omitempty"` // as in [lateen.ProjectSettings]
	Weight      *int    `json:"weight,omitempty"`
}

// ChangeProject changes settings of a project.
func (c *Client) ChangeProject(ctx context.Context, idOrName string, change ProjectChange) (*Project, error) {
	var p Project
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v9/projects" + path(idOrName), in: change, out: &p})
	return &p, err
}

// DeleteProject removes a project with its deployments, aliases and variables.
func (c *Client) DeleteProject(ctx context.Context, idOrName string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v9/projects" + path(idOrName)})
}

// Promote points production of a project at a deployment. It returns that deployment
// or, if it is not for production, a new deployment of the same files, which serves
// production once it is READY.
func (c *Client) Promote(ctx context.Context, project, deployment string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodPost, path: "/v10/projects" + path(project, "promote", deployment), out: &d, atMostOnce: true})
	return &d, err
}

// Rollback points production back at an earlier production deployment.
func (c *Client) Rollback(ctx context.Context, project, deployment string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodPost, path: "/v9/projects" + path(project, "rollback", deployment), out: &d})
	return &d, err
}
