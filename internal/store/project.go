package store

import (
	"context"
	"strings"

	"github.com/lateen-dev/lateen"
)

// ProjectFilter selects projects; a zero field selects all.
type ProjectFilter struct {
	Team    lateen.TeamID
	Project lateen.ProjectID
	Search  string        // part of the name, case-insensitive
	Until   lateen.Millis // created before this time
	Limit   int           // see [Queries.ListProjects]
}

// CreateProject adds a project. Errors: [lateen.ErrProjectTaken] if the team has a
// project of that name, [lateen.ErrTeamNotFound].
func (q *Queries) CreateProject(ctx context.Context, p *lateen.Project) error {
	return q.exec(ctx, meaning{taken: lateen.ErrProjectTaken, dangling: lateen.ErrTeamNotFound},
		`INSERT INTO projects (id, team_id, name, qualified_name, created_at, updated_at, settings, production_id, pinned, alias_request)
		 VALUES (?, ?, ?, ?, ?, ?, ?, NULLIF(?, ''), ?, ?)`,
		p.ID, p.Team, p.Name, qualifiedName(p.Team, p.Name), p.CreatedAt, p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		p.Production, p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest})
}

// GetProject returns a project of a team by id or name; an id takes precedence.
// Errors: [lateen.ErrProjectNotFound].
func (q *Queries) GetProject(ctx context.Context, team lateen.TeamID, idOrName string) (*lateen.Project, error) {
	return one(ctx, q, lateen.ErrProjectNotFound.With("project %q not found", idOrName), scanProject,
		selectProject+` WHERE team_id = ? AND (id = ? OR qualified_name = ?) ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END`,
		team, idOrName, qualifiedName(team, idOrName), idOrName)
}

// FindProject returns a project of any team. Errors: [lateen.ErrProjectNotFound].
func (q *Queries) FindProject(ctx context.Context, id lateen.ProjectID) (*lateen.Project, error) {
	return one(ctx, q, lateen.ErrProjectNotFound, scanProject, selectProject+` WHERE id = ?`, id)
}

// ListProjects returns projects, newest first: at most Limit (0: all) plus those
// created in the same millisecond as the last one. The next page has the last one's
// creation time as Until.
func (q *Queries) ListProjects(ctx context.Context, f ProjectFilter) ([]*lateen.Project, error) {
	var w where
	equal(&w, "team_id", f.Team)
	if len(f.Search) > maxSearch {
		return nil, nil // longer than any name, and databases refuse long patterns
	}
	equal(&w, "id", f.Project)
	if f.Search != "" {
		w.and(`lower(name) LIKE ? ESCAPE '\'`, "%"+escapeLike(strings.ToLower(f.Search))+"%")
	}
	key := func(p *lateen.Project) (lateen.Millis, string) { return p.CreatedAt, string(p.ID) }
	return page(ctx, q, scanProject, key, selectProject, w, f.Until, f.Limit)
}

// maxSearch is a number of bytes beyond the length of any name.
const maxSearch = 1000

// UpdateProject writes all fields of a project except its id, team and creation
// time. Errors: [lateen.ErrProjectNotFound], [lateen.ErrProjectTaken],
// [lateen.ErrDeploymentNotFound] for its Production.
func (q *Queries) UpdateProject(ctx context.Context, p *lateen.Project) error {
	return q.exec(ctx, meaning{taken: lateen.ErrProjectTaken, dangling: lateen.ErrDeploymentNotFound, missing: lateen.ErrProjectNotFound},
		`UPDATE projects SET name = ?, qualified_name = team_id || '/' || CAST(? AS TEXT), updated_at = ?, settings = ?, production_id = NULLIF(?, ''), pinned = ?, alias_request = ?
		 WHERE id = ?`,
		p.Name, p.Name, p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		p.Production, p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest}, p.ID)
}

// qualifiedName is the unique key of a project's name.
func qualifiedName(team lateen.TeamID, name string) string { return string(team) + "/" + name }

// DeleteProject removes a project with its variables, deployments and aliases.
// Errors: [lateen.ErrProjectNotFound].
func (q *Queries) DeleteProject(ctx context.Context, id lateen.ProjectID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrProjectNotFound}, `DELETE FROM projects WHERE id = ?`, id)
}

// Production is a project with the deployment that serves its production hosts.
type Production struct {
	Project    lateen.ProjectID
	Deployment lateen.DeploymentID
}

// ListProductions returns the production deployments of all projects that have one.
func (q *Queries) ListProductions(ctx context.Context) ([]Production, error) {
	return list(ctx, q, scanProduction, `SELECT id, production_id FROM projects WHERE production_id IS NOT NULL ORDER BY id`)
}

func scanProduction(r row) (Production, error) {
	var p Production
	err := r.Scan(&p.Project, &p.Deployment)
	return p, err
}

const selectProject = `SELECT id, team_id, name, created_at, updated_at, settings,
	COALESCE(production_id, ''), pinned, alias_request FROM projects`

func scanProject(r row) (*lateen.Project, error) {
	p := &lateen.Project{}
	return p, r.Scan(&p.ID, &p.Team, &p.Name, &p.CreatedAt, &p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		&p.Production, &p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest})
}

// escapeLike escapes text for a literal match in LIKE … ESCAPE '\'.
func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}
