package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Unfinished is a deployment that is not in a final state.
type Unfinished struct {
	ID         lateen.DeploymentID
	Team       lateen.TeamID
	Project    lateen.ProjectID
	State      lateen.ReadyState
	BuildingAt lateen.Millis // when its assembly was last begun; 0 is never
}

// ListUnfinished returns the deployments that are not in a final state, oldest
// first. The states are literals as in the index that makes this cheap: a
// database uses a partial index only for a condition that implies its own.
func (q *Queries) ListUnfinished(ctx context.Context) ([]Unfinished, error) {
	return list(ctx, q, scanUnfinished, `SELECT id, team_id, project_id, state, building_at FROM deployments
		WHERE state IN ('QUEUED', 'BUILDING', 'DEPLOYING') ORDER BY created_at, id`)
}

func scanUnfinished(r row) (Unfinished, error) {
	var u Unfinished
	err := r.Scan(&u.ID, &u.Team, &u.Project, &u.State, &u.BuildingAt)
	return u, err
}

// ListUnsettled returns up to limit READY deployments whose AliasedAt is 0, by
// id, those after the id that is given.
func (q *Queries) ListUnsettled(ctx context.Context, after lateen.DeploymentID, limit int) ([]lateen.DeploymentID, error) {
	return list(ctx, q, scanText[lateen.DeploymentID], `SELECT id FROM deployments
		WHERE state = 'READY' AND aliased_at = 0 AND id > ? ORDER BY id LIMIT ?`, after, limit)
}

// ListDeploymentIDs returns the ids of all deployments of a project.
func (q *Queries) ListDeploymentIDs(ctx context.Context, project lateen.ProjectID) ([]lateen.DeploymentID, error) {
	return list(ctx, q, scanText[lateen.DeploymentID], `SELECT id FROM deployments WHERE project_id = ? ORDER BY created_at, id`, project)
}

// ListTargets returns the environments of the deployments of a project, each once.
func (q *Queries) ListTargets(ctx context.Context, project lateen.ProjectID) ([]string, error) {
	return list(ctx, q, scanText[string], // from one to the next in the index, of which DISTINCT goes through every row
		`WITH RECURSIVE found(target) AS (
			SELECT MIN(target) FROM deployments WHERE project_id = ?
			UNION ALL SELECT (SELECT MIN(target) FROM deployments WHERE project_id = ? AND target > found.target) FROM found WHERE target IS NOT NULL
		) SELECT target FROM found WHERE target IS NOT NULL`, project, project)
}

// ListDeploymentHosts returns the own hosts of up to limit deployments of a
// project, newest first, whatever their states are.
func (q *Queries) ListDeploymentHosts(ctx context.Context, project lateen.ProjectID, limit int) ([]Host, error) {
	return list(ctx, q, scanHost, `SELECT host, id FROM deployments WHERE project_id = ?
		ORDER BY created_at DESC, id DESC LIMIT ?`, project, limit)
}
