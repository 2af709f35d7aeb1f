package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Project is a project with what serves it.
type Project struct {
	lateen.Project

	// Targets has the deployment that serves production, if there is one.
	Targets map[string]*Deployment `json:"targets"`
	Crons   *struct {
		Definitions []lateen.Cron `json:"definitions"`
	} `json:"crons"`

	wire wire
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Project) UnmarshalJSON(b []byte) error {
	type fields Project
	p.wire = wire(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(p))
}

// MarshalJSON writes the project as the API sent it.
func (p *Project) MarshalJSON() ([]byte, error) { return p.wire.MarshalJSON() }

// Projects returns a page of projects whose name has a part, and where the
// next page begins (0: nowhere).
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

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, name string, settings lateen.ProjectSettings) (*Project, error) {
	in := struct {
		lateen.ProjectSettings

		Name string `json:"name"`
	}{settings, name}
	var p Project
	err := c.do(ctx, call{method: http.MethodPost, path: "/v9/projects", in: in, out: &p, once: true})
	return &p, err
}

// RenameProject changes a project's name, and with it its production hosts.
func (c *Client) RenameProject(ctx context.Context, idOrName, name string) (*Project, error) {
	var p Project
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v9/projects" + path(idOrName), in: map[string]string{"name": name}, out: &p})
	return &p, err
}

// ProjectChange is settings to change; a nil field stays as it is.
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

// DeleteProject removes a project with all that is in it.
func (c *Client) DeleteProject(ctx context.Context, idOrName string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v9/projects" + path(idOrName)})
}

// Promote makes a deployment serve production of its project. The deployment
// returned is it or, if it was not made for production, a new one of the same
// files that takes over once it is READY.
func (c *Client) Promote(ctx context.Context, project, deployment string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodPost, path: "/v10/projects" + path(project, "promote", deployment), out: &d, once: true})
	return &d, err
}

// Rollback makes an earlier production deployment serve production again.
func (c *Client) Rollback(ctx context.Context, project, deployment string) (*Deployment, error) {
	var d Deployment
	err := c.do(ctx, call{method: http.MethodPost, path: "/v9/projects" + path(project, "rollback", deployment), out: &d})
	return &d, err
}
