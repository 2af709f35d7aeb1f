package api

import (
	"encoding/json"
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// newestNode is the Node.js version of projects without a choice.
const newestNode = "24.x"

// project is a project in the form of the vercel CLI.
type project struct {
	lateen.Project

	LatestDeployments []deployment                       `json:"latestDeployments"`
	Targets           map[lateen.Environment]*deployment `json:"targets"`
	Crons             *crons                             `json:"crons,omitempty"`
}

type crons struct {
	Definitions []cronDefinition `json:"definitions"`
	EnabledAt   lateen.Millis    `json:"enabledAt"`
	DisabledAt  *lateen.Millis   `json:"disabledAt"`
}

type cronDefinition struct {
	Host     string `json:"host"`
	Path     string `json:"path"`
	Schedule string `json:"schedule"`
}

func (a *API) projectOf(r *http.Request, p *lateen.Project) (*project, error) {
	if p.NodeVersion == "" {
		p.NodeVersion = newestNode
	}
	out := &project{Project: *p, LatestDeployments: []deployment{}, Targets: map[lateen.Environment]*deployment{}}
	if p.Production == "" {
		return out, nil
	}
	d, err := a.deploymentOf(r, string(p.Production))
	if err != nil {
		return nil, err
	}
	out.Targets[lateen.Production] = d
	out.LatestDeployments = append(out.LatestDeployments, *d)
	return out, nil
}

type projectsReply struct {
	Projects   []*project `json:"projects"`
	Pagination pagination `json:"pagination"`
}

func listProjects(a *API, r *http.Request, _ *none) (*projectsReply, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	until, err := millisOf(r, "until")
	if err != nil {
		return nil, err
	}
	reply := &projectsReply{Projects: []*project{}}
	if r.URL.Query().Get("repoUrl") != "" {
		return reply, nil // no project is connected to a repository
	}
	rows, err := a.Control.Projects(r.Context(), store.ProjectFilter{Search: r.URL.Query().Get("search"), Until: until, Limit: limit})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		p, err := a.projectOf(r, row)
		if err != nil {
			return nil, err
		}
		reply.Projects = append(reply.Projects, p)
	}
	if n := len(rows); n > 0 {
		reply.Pagination = pageOf(n, limit, rows[0].CreatedAt, rows[n-1].CreatedAt)
	}
	return reply, nil
}

type projectRequest struct {
	lateen.ProjectSettings

	Name string `json:"name"`
}

func createProject(a *API, r *http.Request, in *projectRequest) (*project, error) {
	p, err := a.Control.CreateProject(r.Context(), in.Name, in.ProjectSettings)
	if err != nil {
		return nil, err
	}
	return a.projectOf(r, p)
}

func getProject(a *API, r *http.Request, _ *none) (*project, error) {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	out, err := a.projectOf(r, p)
	if err != nil {
		return nil, err
	}
	list, err := a.Control.Crons(r.Context(), p)
	if err != nil || len(list) == 0 {
		return out, err
	}
	out.Crons = &crons{EnabledAt: p.CreatedAt}
	for _, c := range list {
		out.Crons.Definitions = append(out.Crons.Definitions, cronDefinition{
			Host: out.Targets[lateen.Production].URL, Path: c.Path, Schedule: c.Schedule,
		})
	}
	return out, nil
}

// projectChange is a set of changed settings; absent fields are unchanged.
type projectChange struct {
	projectRequest

	raw json.RawMessage
}

// UnmarshalJSON validates the fields and keeps the original text.
func (c *projectChange) UnmarshalJSON(b []byte) error {
	c.raw = append(c.raw[:0], b...)
	return decodeJSON(b, &c.projectRequest)
}

func updateProject(a *API, r *http.Request, in *projectChange) (*project, error) {
	p, err := a.Control.UpdateProject(r.Context(), r.PathValue("project"), func(p *lateen.Project) error {
		now := projectRequest{Name: p.Name, ProjectSettings: p.ProjectSettings}
		if in.raw != nil {
			if err := decodeJSON(in.raw, &now); err != nil {
				return err
			}
		}
		p.Name, p.ProjectSettings = now.Name, now.ProjectSettings
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.projectOf(r, p)
}

func deleteProject(a *API, r *http.Request, _ *none) (*none, error) {
	return nil, a.Control.DeleteProject(r.Context(), r.PathValue("project"))
}

type environmentsReply struct {
	Environments []environment `json:"environments"`
}

// environment is a custom environment, named by its slug.
type environment struct {
	ID          string             `json:"id"`
	Slug        lateen.Environment `json:"slug"`
	Type        lateen.Environment `json:"type"`
	Description string             `json:"description"`
}

func environmentOf(slug lateen.Environment) environment {
	return environment{ID: string(slug), Slug: slug, Type: lateen.Preview}
}

func listEnvironments(a *API, r *http.Request, _ *none) (*environmentsReply, error) {
	slugs, err := a.Control.Environments(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	reply := &environmentsReply{Environments: make([]environment, 0, len(slugs))}
	for _, slug := range slugs {
		reply.Environments = append(reply.Environments, environmentOf(slug))
	}
	return reply, nil
}

type productionReply struct {
	Deployment *deployment `json:"deployment"`
}

func getProduction(a *API, r *http.Request, _ *none) (*productionReply, error) {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	if p.Production == "" {
		return nil, lateen.ErrDeploymentNotFound.With("no deployment serves production of %s yet", p.Name)
	}
	d, err := a.deploymentOf(r, string(p.Production))
	return &productionReply{Deployment: d}, err
}
